"""Units whose clock is off, or jumps while they run.

How far it is off stands in a file in the unit's folder. Testrium's own probes add it to the wall
time that they store. Where faketime's library is installed (https://github.com/wolfcw/libfaketime)
the unit is started with it, and the C library answers with that time. The
monotonic clock, on which everything here is measured, is never touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from testrium.declared.faults import Fault
from testrium.declared.groups import Scenario
from testrium.declared.units import Unit
from testrium.errors import InfraError
from testrium.probe import environment as names
from testrium.probe.faults import written
from testrium.record.recorder import injected
from testrium.system import processes
from testrium.system.files import read_regular

if TYPE_CHECKING:
    from testrium.record.recorder import Recorder
    from testrium.run.folder import RunFolder

#: Where the library is, if not where distributions put it.
LIBRARY = "TESTRIUM_FAKETIME"

_NAME = "libfaketimeMT.so.1"
_FOLDERS = ("/usr/lib", "/usr/lib64", "/usr/local/lib")

#: Of an ELF file: what is read, where all program headers are; the least that is one; the kind of
#: the header that names the loader (elf(5)).
_HEAD = 8192
_ELF_HEADER = 64
_INTERPRETER = 3


def clock_faults(scenario: Scenario) -> tuple[Fault, ...]:
    """The faults of clocks that a scenario plans."""
    return tuple(fault for fault in scenario.group.faults if fault.do == "clock")


@cache
def faketime_library() -> str | None:
    """The path of faketime's library for programs with threads; None where it is not installed."""
    if named := os.environ.get(LIBRARY):
        return named if Path(named).is_file() else None
    for folder in map(Path, _FOLDERS):
        for pattern in (f"faketime/{_NAME}", f"*/faketime/{_NAME}"):
            if found := next(folder.glob(pattern), None):
                return str(found)
    return None


@cache
def python_can_sleep(library: str) -> bool:
    """Whether Python works with the library: with version 0.9.10 `time.sleep` raises EINVAL."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="testrium-") as file:
        file.write(written(1_000_000_000))
        file.flush()
        env = _with_library(library, Path(file.name), os.environ)
        program = (sys.executable, "-c", "import time; time.sleep(0.001)")
        try:
            tried = subprocess.run(
                program, env=dict(os.environ) | env, capture_output=True, timeout=5, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return tried.returncode == 0


def preloads_nothing(program: Path, *, scripts: int = 4) -> bool:
    """Whether the loader puts no library into a program: a static ELF file, as Go makes, or setuid.

    Of a script its interpreter is asked, which may be a script too, as often as the kernel follows.
    What cannot be read may load libraries.
    """
    try:
        with read_regular(program) as file:
            head = file.read(_HEAD)
            is_setuid = bool(os.fstat(file.fileno()).st_mode & (stat.S_ISUID | stat.S_ISGID))
    except OSError:
        return False
    if head.startswith(b"#!"):
        words = head[2:].partition(b"\n")[0].split()
        if not words or not scripts:
            return False
        return preloads_nothing(Path(os.fsdecode(words[0])), scripts=scripts - 1)
    if head[:4] != b"\x7fELF" or len(head) < _ELF_HEADER:
        return False
    order = "<" if head[5] == 1 else ">"
    place, size = ("Q", 54) if head[4] == 2 else ("I", 42)
    (table,) = struct.unpack_from(order + place, head, 32 if place == "Q" else 28)
    width, count = struct.unpack_from(f"{order}HH", head, size)
    starts = (table + number * width for number in range(count))
    kinds = [struct.unpack_from(f"{order}I", head, at)[0] for at in starts if at + 4 <= len(head)]
    return is_setuid or (len(kinds) == count and _INTERPRETER not in kinds)


def library_for(unit: Unit) -> str | None:
    """The library that `unit` is started with, or None: only its probes get the time."""
    library = faketime_library()
    usable = library is not None and (not unit.is_python or python_can_sleep(library))
    return library if usable else None


def clock_environment(unit: Unit, file: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The variables because of which a process of `unit` with `env` heeds the clock in `file`."""
    library = library_for(unit)
    return {names.CLOCK: str(file)} if library is None else _with_library(library, file, env)


def _with_library(library: str, file: Path, env: Mapping[str, str]) -> dict[str, str]:
    return {
        "LD_PRELOAD": " ".join(filter(None, (env.get("LD_PRELOAD"), library))),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",  # it jumps when the file changes
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _tidy_shared_memory() -> None:
    """Remove what the library leaves of a process that was killed."""
    alive = processes.pids()
    for file in Path("/dev/shm").glob("*faketime_*"):  # noqa: S108 - that is where they are
        pid = file.name.rpartition("_")[2]
        if pid.isdigit() and int(pid) not in alive:
            with contextlib.suppress(OSError):
                file.unlink()


class Clocks:
    """The clocks of one group's run that are off.

    A clock is off by the sum of the faults that act. `for` of a fault without `after` counts from
    the group's start.
    """

    def __init__(self, scenario: Scenario, recorder: Recorder, folder: RunFolder) -> None:
        self._faults = clock_faults(scenario)
        self._units = {unit.name: unit for unit in scenario.units}
        self._place = scenario.group.folder
        self._recorder = recorder
        self._folder = folder
        self._acting: dict[str, Fault] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin what acts from the start, and wait for the rest. Raises InfraError."""
        if (library := faketime_library()) is not None:
            await asyncio.to_thread(python_can_sleep, library)  # from now on it is known
        for unit in {fault.unit for fault in self._faults}:
            self._write(unit)
        for fault in self._faults:
            if fault.after is None:
                self._begin(fault)
            self._tasks.append(asyncio.create_task(self._live(fault)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if faketime_library() is not None:
            _tidy_shared_memory()

    async def _live(self, fault: Fault) -> None:
        with contextlib.suppress(InfraError):  # the code that runs the group gets it too
            if fault.after is not None:
                await self._recorder.wait_for(*fault.after)
                self._begin(fault)
            if fault.for_ns is not None:
                await asyncio.sleep(fault.for_ns / 1e9)
                del self._acting[fault.name]
                self._write(fault.unit)
                self._tell(fault, "end")

    def _begin(self, fault: Fault) -> None:
        self._acting[fault.name] = fault
        self._write(fault.unit)
        unit = self._units[fault.unit]
        if unit.is_python or (library_for(unit) is not None and not self._is_closed(unit)):
            self._tell(fault, "begin")

    def _is_closed(self, unit: Unit) -> bool:
        """Whether no library gets into the unit's program, as far as its file tells."""
        program = unit.command[0] if unit.command else "${"
        if "${" in program:
            return False
        if "/" not in program:
            found = shutil.which(program)
            return found is not None and preloads_nothing(Path(found))
        return preloads_nothing(self._place / (unit.cwd or "") / program)

    def _write(self, unit: str) -> None:
        shift_ns = sum(f.value_ns or 0 for f in self._acting.values() if f.unit == unit)
        path = self._folder.clock(unit)
        fresh = path.with_suffix(".new")
        try:
            fresh.touch(mode=0o600)
            fresh.write_text(written(shift_ns), encoding="utf-8")
            fresh.replace(path)  # it is read at any time
        except OSError as error:
            raise InfraError(f"cannot write {path}: {error.strerror}") from error

    def _tell(self, fault: Fault, phase: str) -> None:
        by = "faketime" if library_for(self._units[fault.unit]) else "probes"
        shift_s = (fault.value_ns or 0) / 1e9
        self._recorder.add_fault(
            injected(fault.name, do=fault.do, unit=fault.unit, phase=phase, shift_s=shift_s, by=by)
        )
