"""Every finding has a page, and the circuit on it shows that finding, as the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testrium.cli.reference import pages, summary_of
from testrium.words import Code

#: Never the first finding: something else is always its reason.
FOLLOWS = {"notrun"}
#: Needs an earlier run to leave something behind.
RUN_TWICE = "stale"
#: Options that the circuit of a page is run with.
OPTIONS = {"flaky": ("--retries", "1", "--fail-on-flaky")}

_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A page of docs/findings, taken apart: its circuit, and the output that it shows."""

    code: str
    text: str

    @property
    def files(self) -> dict[str, str]:
        return {name: body for _, name, body in _BLOCK.findall(self.text) if name}

    @property
    def output(self) -> list[str]:
        [shown] = [body for language, name, body in _BLOCK.findall(self.text) if not name]
        lines: list[str] = shown.splitlines()
        options = " ".join(OPTIONS.get(self.code, ("--strict",)))
        calls = (f"$ testrium run {self.code}", f"$ testrium run {options} {self.code}")
        assert lines[0] in calls
        return lines[1:]

    @property
    def where(self) -> str:
        """The place of the finding, where the output names it."""
        found = re.search(rf"^ .*\b{self.code} (?:at )?(\S+)", "\n".join(self.output), re.MULTILINE)
        assert found is not None
        return found[1]

    def write(self, folder: Path) -> None:
        for name, body in self.files.items():
            assert body.startswith(f"# {name}\n"), "readers see the name in the file's first line"
            path = folder / self.code / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)


PAGES = [Page(code, text) for code, text in pages().items()]


@dataclass(frozen=True)
class Outcome:
    """What one run of the circuits of all pages came to."""

    groups: Mapping[str, Mapping[str, Any]]
    output: str

    def block(self, code: str) -> str:
        """What was printed about one group."""
        found = re.search(
            rf"^[A-Z]+ {code}  [\d.]+ s$.*?(?=^  rerun)", self.output, re.DOTALL | re.MULTILINE
        )
        assert found is not None, self.output
        return found[0]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("pages")
    for page in PAGES:
        page.write(folder)
    assert _testrium(folder, "run", RUN_TWICE).returncode == 0
    report = folder / "report.json"
    less = [f"--less={code}" for code in OPTIONS]
    done = _testrium(folder, "run", "--strict", "--plain", "--json", str(report), *less)
    groups, output = json.loads(report.read_text())["groups"], done.stdout
    for code, options in OPTIONS.items():
        done = _testrium(folder, "run", code, "--plain", "--json", str(report), *options)
        groups += json.loads(report.read_text())["groups"]
        output += done.stdout
    return Outcome({group["id"]: group for group in groups}, output)


def _testrium(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testrium", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
    )


def without_figures(line: str) -> str:
    """A line of output without what differs from run to run, and without its alignment."""
    line = re.sub(r"\S*\.testrium/runs/[^/]+", "FOLDER", line)
    line = re.sub(r"\d{8}-\d{6}-[0-9a-f]{4}", "RUN", line)
    line = re.sub(r" pid 0$", "", line)  # a line of a shell has none
    line = re.sub(r"\b(pid|process) \d+", "pid N", line)
    line = re.sub(r'File "\S*/', 'File "', line)
    line = re.sub(r"-?\d+(\.\d+)?(e[+]\d+)? (us|ms|s)\b", "TIME", line)
    line = re.sub(r"\d+(\.\d+)? MB", "SIZE", line)
    return " ".join(line.split())


def test_every_code_has_a_page() -> None:
    assert [page.code for page in PAGES] == list(Code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.code)
def test_the_circuit_of_a_page_shows_its_finding(page: Page, outcome: Outcome) -> None:
    first, *others = outcome.groups[page.code]["findings"]
    if page.code in FOLLOWS:
        [finding] = [found for found in others if found["code"] == page.code]
        assert finding["explained_by"] == f"{first['code']} {first['where']}"
    else:
        finding = first
    assert (finding["code"], finding["where"]) == (page.code, page.where)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.code)
def test_a_page_shows_what_is_printed(page: Page, outcome: Outcome) -> None:
    """Pages may leave lines out; those that they show are printed, in this order."""
    printed = iter([without_figures(line) for line in outcome.block(page.code).splitlines()])
    absent = [line for line in page.output if without_figures(line) not in printed]
    assert absent == [], outcome.block(page.code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.code)
def test_pages_have_one_shape(page: Page) -> None:
    assert re.findall("^#+ .*", _BLOCK.sub("", page.text), re.MULTILINE) == [
        f"# {page.code}",
        "## A circuit that shows it",
        "## What Testrium prints",
        "## What to do",
        "## When it is meant to be so",
    ]


def test_the_index_lists_all_pages_in_their_order() -> None:
    index = Path(__file__).resolve().parents[2] / "docs" / "findings" / "README.md"
    rows = re.findall(r"^\| \[([a-z-]+)\]\((\S+)\) \| (.+) \|$", index.read_text(), re.MULTILINE)
    assert rows == [(page.code, f"{page.code}.md", summary_of(page.text)) for page in PAGES]
