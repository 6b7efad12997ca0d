"""What must hold whatever was broken, and the switch for the long forms.

The long forms (marker `soak`) run with `pytest --soak` or TESTRIUM_SOAK=1.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """How often to repeat: the first number in each CI run, the second in the long form."""
    long = bool(request.config.getoption("--soak"))
    return lambda short, soak: soak if long else short


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[Path, str], None]]:
    """Mounts a small file system at a folder, one at a time; skips where this user cannot."""
    mounted: list[Path] = []

    def mount(folder: Path, options: str) -> None:
        folder.mkdir(exist_ok=True)
        unmount()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
        mounted.append(folder)

    def unmount() -> None:
        while mounted:
            subprocess.run(["umount", "--lazy", str(mounted.pop())], check=True)

    yield mount
    unmount()


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Makes a file read-only, for root too; skips where this user cannot."""
    mounted: list[Path] = []

    def protect(file: Path) -> None:
        for options in (["--bind", str(file)], ["-o", "remount,bind,ro"]):
            command = ["mount", *options, str(file)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                pytest.skip(f"cannot mount a file: {done.stderr.strip()}")
            if not mounted:
                mounted.append(file)

    yield protect
    for file in mounted:
        subprocess.run(["umount", "--lazy", str(file)], check=True)


def databases(folder: Path) -> list[Path]:
    """Every Data.db below a state folder."""
    return sorted(folder.rglob("Data.db"))


def quick_check(folder: Path) -> None:
    """Each database below `folder` passes SQLite's own check: a copy, whose disk has room."""
    for database in databases(folder):
        with tempfile.TemporaryDirectory() as apart:
            for file in database.parent.glob("Data.db*"):
                if not file.name.endswith("-shm"):  # only an index of the other two
                    shutil.copy(file, apart)
            with closing(sqlite3.connect(Path(apart, database.name))) as connection:
                checked = connection.execute("PRAGMA quick_check").fetchall()
            assert checked == [("ok",)], database


@pytest.fixture(scope="session")
def check_databases() -> Callable[[Path], None]:
    return quick_check


def emitted(run_dir: Path) -> list[tuple[str, int, int]]:
    """unit, pid and sequence number of every whole probe line below a group's folder."""
    found = []
    for file in sorted(run_dir.glob("units/*/probes-*.jsonl")):
        *lines, _ = file.read_text().split("\n")
        for line in map(json.loads, lines):
            found.append((file.parent.name, line["pid"], line["seq"]))
    return sorted(found)


def stored(run_dir: Path) -> list[tuple[str, int, int]]:
    """The same of every event in its database: of none, when its tables had not been made yet."""
    with closing(sqlite3.connect(run_dir / "Data.db")) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'Events'").fetchall():
            return []
        rows = connection.execute("SELECT Owner, Pid, Seq FROM Events WHERE Seq IS NOT NULL")
        return sorted(rows.fetchall())


class Soundness:
    """The promises that hold in every case."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, outcome: Outcome, *exit_codes: int) -> None:
        """It ended with one of these codes, with a report that says so, and lost nothing."""
        assert outcome.exit_code in exit_codes, outcome.stdout + outcome.stderr
        assert "Traceback" not in outcome.stderr, outcome.stderr
        assert outcome.report, "no report was written"
        assert outcome.report["exit_code"] == outcome.exit_code
        self.of_stored()

    def of_stored(self) -> None:
        """No database is damaged, and every probe that returned is in one."""
        quick_check(self._folder)
        for database in databases(self._folder):
            assert stored(database.parent) == emitted(database.parent)


@pytest.fixture
def sound(workplace: Workplace) -> Soundness:
    return Soundness(workplace.folder)


@pytest.fixture(scope="session")
def soundness_of() -> Callable[[Path], Soundness]:
    return Soundness
