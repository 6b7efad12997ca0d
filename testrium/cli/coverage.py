"""`testrium run --coverage`: which lines of Python code the units of a run went through.

coverage.py measures: each Python process of a unit starts it (`run.supervisor.program`, or the
.pth file that comes with coverage.py), and writes a file of its own. They are combined when the run
is over, in a process of its own: plugins of coverage.py are code of others.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from testrium.errors import UsageError
from testrium.probe import environment as names
from testrium.results import GroupResult

#: Below the run's folder.
FOLDER = "coverage"

#: The first one that measures programs which other programs start, and those that leave by _exit.
_LEAST = (7, 10)

#: Options of the project's own configuration that count in units too; the rest does at the end.
_OWN = ("source", "source_pkgs", "include", "omit", "plugins", "concurrency")

_COMBINE = """
import sys, coverage
data, parts, html = sys.argv[1:]
measured = coverage.Coverage(data_file=data)
try:
    measured.combine([parts])
    measured.save()
    measured.report(skip_empty=True)
    measured.html_report(directory=html)
except coverage.exceptions.NoDataError:
    sys.exit("nothing was measured: units ran no code of this project")
except coverage.CoverageException as error:
    sys.exit(str(error))
"""


class Measurement:
    """The measurement of one run: a context manager around it, then `report`."""

    def __init__(self, cwd: Path) -> None:
        """Raises UsageError: coverage.py is not installed, or its configuration is wrong."""
        if importlib.util.find_spec("coverage") is None:
            raise UsageError("--coverage needs coverage.py: pip install 'testrium[coverage]'")
        import coverage

        if coverage.version_info[:2] < _LEAST:
            wanted = ".".join(map(str, _LEAST))
            raise UsageError(
                f"--coverage needs coverage.py {wanted}, this is {coverage.__version__}"
            )
        try:
            self._config = _config(coverage.Coverage(), cwd)
        except coverage.CoverageException as error:
            raise UsageError(f"--coverage: {error}") from error
        self._cwd = cwd
        self._parts = Path(tempfile.mkdtemp(prefix="testrium-coverage-"))

    def __enter__(self) -> Self:
        file = self._parts / "coveragerc"
        data = self._parts / ".coverage"
        file.write_text(f"{self._config}data_file = {data}\n", encoding="utf-8")
        os.environ[names.COVERAGE] = str(file)
        return self

    def __exit__(self, *_: object) -> None:
        del os.environ[names.COVERAGE]
        shutil.rmtree(self._parts, ignore_errors=True)

    def report(self, run_folder: Path, groups: Iterable[GroupResult] = ()) -> str:
        """Combine what was measured below the run's folder; the report, for the console.

        Commands of `groups` whose Python has no coverage.py are named in it.
        """
        unmeasured = [f"\ncoverage: {text}" for text in self._unmeasured(groups)]
        return self._combined(run_folder) + "".join(unmeasured)

    def _unmeasured(self, groups: Iterable[GroupResult]) -> Iterator[str]:
        """The units that have started another Python, each program once."""
        pids = {match[1] for part in self._parts.iterdir() if (match := _PID.search(part.name))}
        asked: dict[str, bool] = {}
        for group in groups:
            commands = {unit.name: unit.command for unit in group.scenario.units if unit.command}
            for end in group.ends:
                command = commands.get(end.unit, ())
                if not command or end.pid is None or str(end.pid) in pids:
                    continue
                program = shutil.which(command[0])
                if not program or program in asked or not _PYTHON.match(Path(program).name):
                    continue
                asked[program] = _can_import_coverage(program)
                if not asked[program]:
                    yield (
                        f"{command[0]!r} of unit {end.unit!r} in {group.scenario.id} was not"
                        f" measured: {program} has no coverage.py. Install it there, or give"
                        f" {sys.executable} as the command"
                    )

    def _combined(self, run_folder: Path) -> str:
        folder = run_folder / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        page = folder / "html"
        data = folder / ".coverage"
        for part in self._parts.glob(".coverage.*"):
            shutil.move(part, folder)
        made = subprocess.run(
            [sys.executable, "-P", "-c", _COMBINE, str(data), str(folder), str(page)],
            cwd=self._cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if made.returncode != 0:
            lines = made.stderr.strip().splitlines() or ["it was not combined"]
            return f"coverage: {lines[-1]}"
        return f"{made.stdout.rstrip()}\ncoverage: {page / 'index.html'}"


_PYTHON = re.compile(r"python[\d.]*$")

#: In the name of a file of data: `.coverage.HOST.pid1234.XaBcDx`, in older versions without "pid".
_PID = re.compile(r"\.(?:pid)?(\d+)\.[^.]+$")


def _can_import_coverage(python: str) -> bool:
    command = [python, "-c", "import coverage"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
        return done.returncode == 0
    return True  # it cannot be asked: nothing is claimed


def _config(own: object, cwd: Path) -> str:
    """The `[run]` section that units measure by; the project's own configuration, where it has one.

    Without a choice of its own, what is below the current folder is measured.
    """
    from coverage import Coverage

    assert isinstance(own, Coverage)
    lines = ["[run]", "parallel = true", "sigterm = true", "patch = _exit"]
    branch = own.get_option("run:branch")
    lines.append(f"branch = {'true' if branch else 'false'}")
    chosen = {name: own.get_option(f"run:{name}") for name in _OWN}
    if not any(chosen[name] for name in ("source", "source_pkgs", "include")):
        chosen["include"] = [f"{cwd}/*"]
    for name, values in chosen.items():
        if isinstance(values, list) and values:
            texts = [_absolute(name, str(value), cwd) for value in values]
            lines.append(f"{name} =" + "".join(f"\n    {text}" for text in texts))
    return "\n".join(lines) + "\n"


def _absolute(option: str, text: str, cwd: Path) -> str:
    """A path or pattern as it is meant in the current folder: units run in theirs."""
    is_pattern = option in ("include", "omit") and not text.startswith(("*", "?", "/"))
    is_folder = option == "source" and (cwd / text).is_dir()
    return str(cwd / text) if is_pattern or is_folder else text
