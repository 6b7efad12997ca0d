"""The console script."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testrium.cli.start import begins_run

#: Says whether the interpreter was taken apart at the end.
WATCHED = """
import atexit, sys
atexit.register(print, "taken apart", file=sys.stderr)
{before}
from testrium.cli.start import start
sys.exit(start())
"""


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        ([], True),
        (["run", "shop"], True),
        (["--less", "list", "-v", "run"], True),
        (["--less=list"], True),
        (["list"], False),
        (["--help"], False),
    ],
)
def test_whether_a_command_line_begins_a_run(arguments: list[str], begins: bool) -> None:
    assert begins_run(arguments) is begins


def ended(
    folder: Path, *arguments: str, before: str = "", output: str = os.devnull
) -> tuple[int, str]:
    """The exit code of a command and its messages; its output goes to the file `output`."""
    with Path(output).open("w") as file:
        done = subprocess.run(
            [sys.executable, "-c", WATCHED.format(before=before), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    return done.returncode, done.stderr


@pytest.mark.unmeasured
def test_a_command_ends_at_once_with_its_code(tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert ended(tmp_path, "--version", output=str(output)) == (0, "")
    assert output.read_text().startswith("testrium ")
    code, messages = ended(tmp_path, "run")
    assert code == 2
    assert "no group found" in messages
    assert "taken apart" not in messages


@pytest.mark.parametrize(
    "before",
    [
        "sys.modules['coverage'] = sys",
        "sys.settrace(lambda *_: None)",
        "import multiprocessing.util",
    ],
)
def test_who_has_work_at_the_end_has_the_last_word(tmp_path: Path, before: str) -> None:
    assert ended(tmp_path, "--version", before=before) == (0, "taken apart\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    code, messages = ended(tmp_path, "--version", output="/dev/full")
    assert code != 0
    assert "No space left" in messages
