"""Everything that one stored run is judged by, as far as its rules ask for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from testrium.declared.groups import Scenario
from testrium.errors import InfraError
from testrium.evidence import Evidence, Sample
from testrium.record.database import open_reader
from testrium.record.store import load_evidence
from testrium.regular_files import read_regular

#: Test functions are reported as such, with their tracebacks, and print those too.
_UNITS_BESIDE = ("setup", "teardown")

#: So much of what each unit wrote on stderr is searched for tracebacks (bytes).
MOST_OF_STDERR = 64_000_000


def gather_evidence(scenario: Scenario, database: Path) -> Evidence:
    """`load_evidence`, and what only some rules look at: stderr, use of memory and CPU.

    Raises InfraError if the store cannot be read.
    """
    evidence = load_evidence(database)
    if any(unit.kind for unit in scenario.units):
        from testrium.record.suites import with_suites

        evidence = with_suites(scenario, evidence)
    if scenario.group.rules.stderr == "forbid":
        files = stderr_files(scenario, database.parent)
        evidence = evidence._replace(stderr={unit: _text(file) for unit, file in files.items()})
    limited = [unit.name for unit in scenario.units if unit.max_rss or unit.max_cpu]
    if limited:
        evidence = evidence._replace(samples=load_samples(database, limited))
    return evidence


def stderr_files(scenario: Scenario, run_dir: Path) -> dict[str, Path]:
    """What each unit wrote on stderr, in all its starts: the files that are there."""
    units = (*(unit.name for unit in scenario.units), *_UNITS_BESIDE)
    files = ((unit, run_dir / "units" / unit / "stderr.log") for unit in units)
    return {unit: file for unit, file in files if file.is_file()}


def _text(file: Path) -> str:
    try:
        with read_regular(file) as opened:
            return opened.read(MOST_OF_STDERR).decode(errors="backslashreplace")
    except OSError as error:
        raise InfraError(f"cannot read {file}: {error.strerror}") from error


def load_samples(database: Path, units: Iterable[str]) -> tuple[Sample, ...]:
    """The samples of these units in the order of time. Raises InfraError."""
    names = tuple(units)
    marks = ", ".join("?" * len(names))
    with closing(open_reader(str(database))) as connection:
        try:
            rows = connection.execute(
                "SELECT Unit, Start, TimeNs, CpuS, CpuPercent, Rss, Threads, Fds, Children "  # noqa: S608 - only marks are put in
                f"FROM Samples WHERE Unit IN ({marks}) ORDER BY TimeNs",
                names,
            )
            return tuple(Sample(*row) for row in rows)
        except sqlite3.Error as error:
            raise InfraError(f"cannot read {database}: {error}") from error
