"""What all tests have in common: settings, and groups that are run as a user would run them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import settings

# A busy machine is slow now and then; how long one example takes says nothing.
settings.register_profile("testrium", deadline=None)
settings.load_profile("testrium")

#: In the environment of everything that a test starts, so that survivors are found.
MARK = "TESTRIUM_TEST_MARK"


@dataclass(frozen=True)
class Outcome:
    """What one call of the command line came to."""

    exit_code: int
    stdout: str
    stderr: str
    report: Mapping[str, Any]

    @property
    def group(self) -> Mapping[str, Any]:
        (group,) = self.report["groups"]
        assert isinstance(group, Mapping)
        return group

    @property
    def codes(self) -> list[str]:
        """The findings of the one group, as "code where"."""
        return [f"{finding['code']} {finding['where']}" for finding in self.group["findings"]]

    def unit(self, name: str) -> Mapping[str, Any]:
        return next(unit for unit in self.group["units"] if unit["name"] == name)


class Workplace:
    """A folder with groups, and the command line."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.folder = folder
        self.mark = mark
        self.env = {**os.environ, MARK: mark, "PYTHONDONTWRITEBYTECODE": "1"}
        self._started: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        """End what a failed test has left: else its open pipes fail a test that comes later."""
        for process in self._started:
            with process:  # closes its pipes and waits
                if process.poll() is None:
                    process.kill()

    def group(
        self,
        units: Mapping[str, str],
        code: str = "",
        *,
        configs: str = "timeout = 10",
        tables: str = "",
        name: str = "group",
        **files: str,
    ) -> Path:
        """Write a group; `units` maps names to the keys of their table, `init` is added."""
        folder = self.folder / name
        listed = json.dumps(list(units))
        self.write(
            folder / "config.toml",
            f"[Configs]\nunits = {listed}\n{textwrap.dedent(configs)}\n{textwrap.dedent(tables)}\n",
        )
        (folder / "units").mkdir(parents=True, exist_ok=True)
        for init, (unit, keys) in enumerate(units.items()):
            text = f'["{unit}"]\ninit = {init}\n{textwrap.dedent(keys)}\n'
            self.write(folder / "units" / f"{unit}.toml", text)
        self.write(folder / "test_case.py", "import testrium\n" + textwrap.dedent(code))
        for file, text in files.items():
            self.write(folder / f"{file}.py", textwrap.dedent(text))
        return folder

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(
        self, *arguments: str, program: Sequence[str] = (sys.executable, "-m", "testrium")
    ) -> subprocess.Popen[str]:
        """Begin a command; `program` is what gets its arguments."""
        process = subprocess.Popen(
            [*program, *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self, *arguments: str, limit_s: float = 60) -> Outcome:
        """`testrium run` with a JSON report; nothing may be left of what it started."""
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        return self.finish(self.start("run", "--json", str(report), *arguments), limit_s)

    def finish(self, process: subprocess.Popen[str], limit_s: float = 60) -> Outcome:
        stdout, stderr = process.communicate(timeout=limit_s)
        left = self.survivors()
        assert not left, f"left behind: {left}"
        report = self.folder / "report.json"
        data = json.loads(report.read_text()) if report.exists() else {}
        return Outcome(process.returncode, stdout, stderr, data)

    def survivors(self) -> list[str]:
        """The processes that carry this test's mark and are alive."""
        left = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get(MARK) == self.mark
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    left.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return left


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak",
        action="store_true",
        default=bool(os.environ.get("TESTRIUM_SOAK")),
        help="run the long forms of checks (marker soak); or TESTRIUM_SOAK=1",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--soak"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="a long form: pytest --soak"))


_COMPLAIN = asyncio.BaseEventLoop.default_exception_handler


@contextmanager
def ending_at_defects() -> Iterator[list[Exception]]:
    """End what runs in an event loop as soon as one of its callbacks raises, and note that.

    Else a test would wait for what never comes.
    """
    failed: list[Exception] = []

    def fail(loop: asyncio.BaseEventLoop, context: dict[str, Any]) -> None:
        _COMPLAIN(loop, context)
        error = context.get("exception")
        if isinstance(error, Exception) and ("handle" in context or "protocol" in context):
            failed.append(error)
            for task in asyncio.all_tasks(loop):
                task.cancel()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.BaseEventLoop, "default_exception_handler", fail)
        yield failed


@pytest.fixture(autouse=True)
def callbacks_fail_at_once() -> Iterator[None]:
    with ending_at_defects() as failed:
        yield
    if failed:
        raise failed[0]


@pytest.fixture
def workplace(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Workplace]:
    place = Workplace(tmp_path, f"{os.getpid()}-{request.node.name}")
    yield place
    place.close()


@pytest.fixture(scope="session")
def workplace_at() -> Callable[[Path], Workplace]:
    """Makes a workplace that several tests look at."""
    return lambda folder: Workplace(folder, f"{os.getpid()}-{folder.name}")
