"""Where the files of one group's run lie. The folder is the truth: it can be moved and judged."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

from testrium.system.files import decoded, read_regular
from testrium.tuples import NamedTuple

PRIVATE_FOLDER = 0o700


class RunFolder(NamedTuple):
    """The layout below `path`; nothing is created before `create`."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "Data.db"

    @property
    def scenario(self) -> Path:
        return self.path / "scenario.toml"

    def unit(self, name: str) -> Path:
        return _unit_folder(self.path, name)

    def probes(self, name: str, start: int) -> Path:
        return self.unit(name) / f"probes-{start}.jsonl"

    def telemetry(self, name: str, start: int) -> Path:
        """The events made of its spans and log records."""
        return self.unit(name) / f"otlp-{start}.jsonl"

    def stdout(self, name: str) -> Path:
        return self.unit(name) / "stdout.log"

    def stderr(self, name: str) -> Path:
        return self.unit(name) / "stderr.log"

    def stacks(self, name: str) -> Path:
        return self.unit(name) / "stacks.txt"

    @property
    def taps(self) -> Path:
        """What was read from tapped links, where there are any."""
        return self.path / "taps"

    def clock(self, name: str) -> Path:
        """How far the clock of a unit is off, where a fault says that it is."""
        return self.unit(name) / "clock"

    @property
    def diagnostics(self) -> Path:
        return self.path / "diagnostics.txt"

    def create(self, units: tuple[str, ...]) -> None:
        """Make the folders. Raises OSError."""
        # One by one: what mkdir makes on the way to a folder does not get the mode.
        above: list[Path] = []
        for folder in self.path.parents:
            if folder.exists():
                break
            above.append(folder)
        for folder in (*reversed(above), self.path, self.path / "units", *map(self.unit, units)):
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)


@lru_cache(maxsize=1024)  # asked for dozens of times while a group runs
def _unit_folder(path: Path, name: str) -> Path:
    return path / "units" / name


def hiding_file(folders: Iterable[Path], output: Iterable[str]) -> str:
    """A sentence about a file of these folders that Python took for a module of its own, or "".

    A script's folder comes before Python's own library: with a `json.py` there, every library gets
    that one. `output` is where a traceback would say so.
    """
    named = {match[1] for line in output for match in _MODULE.finditer(line)}
    for name in sorted(named & sys.stdlib_module_names):
        for folder in folders:
            for path in (folder / f"{name}.py", folder / name / "__init__.py"):
                if path.is_file():
                    return f"{path} hides Python's own module {name!r}: rename it"
    return ""


#: How Python's messages name a module that is not what was expected.
_MODULE: Final = re.compile(r"(?:from |module |named )'([a-z_][a-z_0-9]*)(?:\.[\w.]*)?'")


def last_lines(
    path: Path, count: int = 40, limit: int = 16384, encoding: str = "utf-8"
) -> tuple[str, ...]:
    """The last lines of a log, at most `count` of them within its last `limit` bytes."""
    try:
        with read_regular(path) as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - limit) // 4 * 4)  # a character of utf-32 begins there
            text = decoded(log.read(limit + 4), encoding)
    except OSError:  # it was not written, or the unit has put something else there
        return ()
    lines = text.splitlines()
    if size > limit:
        lines = lines[1:]  # the first one is cut
    return tuple(line.rstrip() for line in lines[-count:])
