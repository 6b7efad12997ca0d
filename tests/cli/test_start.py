"""The console script."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testrium.cli.start import _lacks_memory, begins_run

#: Says whether the interpreter was taken apart at the end.
WATCHED = """
import atexit, sys
atexit.register(print, "taken apart", file=sys.stderr)
{before}
from testrium.cli.start import start
sys.exit(start())
"""

#: Tells what has been imported when a run starts its first process, and when it has ended.
AT_THE_FIRST_START = """
import sys
from typing import ForwardRef
from testrium import session
from testrium.cli.main import entry
from testrium.run.supervisor.client import Supervisor

session._FIRST_START_S = 3600.0  # however slow this machine is
spawn, told = Supervisor.spawn, []

async def watched(self, launch):
    if not told:
        told.extend(sys.modules)
        print(*told)
    return await spawn(self, launch)

Supervisor.spawn = watched
code = entry(["run", "-q"])
print(*(
    f"{module.__name__}:{name}"
    for module in tuple(sys.modules.values())
    for name, value in tuple(vars(module).items())
    if module.__name__.startswith("testrium.")
    if isinstance(value, type) and hasattr(value, "_fields")
    if any(isinstance(kind, ForwardRef) for kind in value.__annotations__.values())
))
print(*sys.modules)
sys.exit(code)
"""
#: What is imported while units run, or only where something needs it.
LATER = {
    *("testrium.judging", "testrium.history", "testrium.verify.judge", "testrium.verify.circuits"),
    *(
        "testrium.report.group_text",
        "testrium.report.view",
        "testrium.report.json_report",
    ),
    *("annotated_types", "pydantic"),
    *("email", "importlib.metadata", "jinja2", "multiprocessing", "psutil", "zipfile"),
}
#: What a group that is judged in the runner never needs.
NEVER = {
    *("multiprocessing", "pickle", "importlib.metadata", "jinja2", "zipfile", "zoneinfo"),
    *("annotated_types", "pydantic", "pydantic_core", "pydantic_core.core_schema"),
    *("typing_extensions", "decimal", "fractions", "statistics"),
}


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
def test_a_unit_starts_before_what_only_the_end_needs_is_imported(tmp_path: Path) -> None:
    group = tmp_path / "test_true"
    (group / "units").mkdir(parents=True)
    (group / "config.toml").write_text('[Configs]\nunits = ["a"]\n')
    (group / "units" / "a.toml").write_text('[a]\ncommand = ["true"]\n')
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_FIRST_START],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    first, *_, compiled, last = (set(line.split()) for line in done.stdout.splitlines())
    assert "testrium.run.units" in first
    assert not first & LATER
    assert "testrium.verify.judge" in last
    assert not last & NEVER
    # typing.NamedTuple compiles annotations that are texts; `testrium.tuples` does not.
    assert not compiled or sys.version_info >= (3, 14)


@pytest.mark.unmeasured
def test_a_command_ends_at_once_with_its_code(tmp_path: Path) -> None:
    output = tmp_path / "output"
    assert ended(tmp_path, "--version", output=str(output)) == (0, "")
    assert output.read_text().startswith("testrium ")
    code, messages = ended(tmp_path, "run")
    assert code == 2
    assert "no group found" in messages
    assert "taken apart" not in messages


@pytest.mark.unmeasured
def test_a_defect_does_not_end_as_a_group_that_failed_does(tmp_path: Path) -> None:
    code, messages = ended(
        tmp_path, "--version", before="import testrium.cli.main as m; m.entry = 3"
    )
    assert code == 5
    assert "TypeError: 'int' object is not callable" in messages
    assert "this is a defect in Testrium" in messages.splitlines()[-2]


@pytest.mark.parametrize(
    ("error", "limit", "lacks"),
    [
        (TypeError("a defect"), 1 << 50, False),
        (ImportError("half read"), 0, True),  # all of it is in use
        (MemoryError(), 1 << 50, True),
        (OSError(errno.ENOMEM, "no"), 1 << 50, True),
    ],
)
def test_a_defect_is_not_taken_for_too_little_memory(
    error: Exception, limit: int, lacks: bool
) -> None:
    outer = RuntimeError("of something else")
    outer.__cause__ = error
    assert _lacks_memory(outer, limit) is lacks


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
