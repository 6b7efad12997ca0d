"""Who follows the tutorial and the how-to pages to the letter sees what they show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.end_to_end.test_finding_pages import without_figures

DOCS = Path(__file__).resolve().parents[2] / "docs"

_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A block of a page: a file (`name`), a change of one (`diff`), or a command and its output."""

    language: str
    name: str
    body: str

    @property
    def command(self) -> str:
        return self.body.partition("\n")[0].removeprefix("$ ") if self.body[:2] == "$ " else ""


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in _BLOCK.findall(page.read_text())]


def followed() -> Iterator[Path]:
    """The pages that have both files and commands."""
    for page in (DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))):
        found = blocks(page)
        if any(block.name for block in found) and any(block.command for block in found):
            yield page


PAGES = list(followed())


def changed(text: str, diff: str) -> str:
    """A file with one change: the lines before it and behind it must be there, once."""
    lines = [line or " " for line in diff.splitlines()]
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    assert text.count(before) == 1, before
    return text.replace(before, after)


def write(block: Block, folder: Path) -> None:
    path = folder / block.name
    if block.language == "diff":
        head, _, diff = block.body.partition("\n")
        assert head == f"@@ {block.name} @@", "readers see the name in the first line"
        path.write_text(changed(path.read_text(), diff))
        return
    assert block.body.startswith(f"# {block.name}\n"), "readers see the name in the first line"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.body)


def printed(command: str, folder: Path) -> list[str]:
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return [without_figures(line) for line in done.stdout.splitlines()]


def missing_programs(page: Path) -> list[str]:
    tables = [tomllib.loads(block.body) for block in blocks(page) if block.language == "toml"]
    needed = {each for table in tables for each in table.get("Configs", {}).get("requires", ())}
    return [each for each in needed if ":" not in each and shutil.which(each) is None]


def test_the_tutorial_and_some_how_to_pages_are_followed() -> None:
    names = {page.stem for page in PAGES}
    assert names >= {"tutorial", "http-service", "queue-worker", "log-probes"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_can_be_followed_to_the_letter(page: Path, tmp_path: Path) -> None:
    """Shown output may leave lines out; the lines that are shown come, in this order."""
    if missing := missing_programs(page):
        pytest.skip(f"not installed: {', '.join(missing)}")
    for block in blocks(page):
        if block.name:
            write(block, tmp_path)
        elif block.command:
            lines = printed(block.command, tmp_path)
            rest = iter(lines)
            shown = map(without_figures, block.body.splitlines()[1:])
            assert [line for line in shown if line not in rest] == [], (block.command, lines)


def test_a_change_is_put_where_its_lines_are() -> None:
    assert changed("a\nb\nc\n", " a\n-b\n+x\n+y\n") == "a\nx\ny\nc\n"
    with pytest.raises(AssertionError):
        changed("a\nb\n", " b\n+c\n d\n")
