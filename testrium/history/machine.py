"""How fast this machine is: scores in the history, by which durations of machines compare.

A score is the rate of a small fixed piece of work, best of several tries (the best is what the
machine can do; slower tries measure its neighbours). 100 is about one core of a small server of
2023. Scores of one resource compare between machines; those of two resources do not.

Two tables, made with the first score. `benchmark_results` is that of the classic API too.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import platform
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from testrium.errors import InfraError
from testrium.history.database import FILE, connect
from testrium.record.runs import make_state_folder
from testrium.tuples import NamedTuple

#: The score to which durations are normalised: about one core of a small server of 2023.
BASELINE = 100.0

_SCORES = """
CREATE TABLE IF NOT EXISTS benchmark_results (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    machine_id   TEXT,  -- see machine_id()
    cpu_score    REAL,
    memory_score REAL,
    disk_score   REAL,
    io_score     REAL,
    score        REAL,  -- their geometric mean
    created_at   REAL   -- wall time, seconds since 1970
)"""

_OF_RUNS = """
CREATE TABLE IF NOT EXISTS run_scores (
    run   TEXT PRIMARY KEY REFERENCES runs (run) ON DELETE CASCADE,
    score REAL NOT NULL  -- of the machine on which it ran, as measured last before
)"""


class MachineScore(NamedTuple):
    """The scores of one machine; `score` is their geometric mean."""

    machine_id: str
    cpu_score: float
    memory_score: float
    disk_score: float
    io_score: float
    score: float

    def to_dict(self) -> dict[str, float | str]:
        return self._asdict()


def machine_id() -> str:
    """16 hexadecimal digits that stay the same on one machine and tell nothing about it."""
    node = uuid.getnode()
    # Without a network card it is random, and marked so (RFC 9562, 6.10).
    known = platform.node() if node >> 40 & 1 else node
    facts = f"{known} {platform.machine()} {platform.system()} {os.cpu_count()}"
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def normalized_s(duration_s: float, machine_score: float, baseline_score: float) -> float:
    """How long it would have taken on the machine with `baseline_score`, in seconds.

    Raises:
        ValueError: a score is not positive.
    """
    if machine_score <= 0 or baseline_score <= 0:
        raise ValueError("machine_score and baseline_score must be greater than zero")
    return duration_s * machine_score / baseline_score


def save_score(database_path: str, result: MachineScore) -> None:
    """Append a score to the table `benchmark_results` of an SQLite file, made if need be.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    with contextlib.closing(sqlite3.connect(database_path, timeout=10)) as database, database:
        _append(database, result)


def keep_score(state_folder: Path, result: MachineScore) -> None:
    """Append a score to the project's history: the runs of this machine are stored with it.

    Raises InfraError.
    """
    try:
        make_state_folder(state_folder)
    except OSError as error:
        raise InfraError(f"cannot make {state_folder}: {error.strerror}") from error
    with _history(state_folder) as database:
        _append(database, result)


def note_score(state_folder: Path, run: str) -> None:
    """Store the last score of this machine with a run of the history; without one, nothing.

    Raises InfraError.
    """
    with _history(state_folder) as database:
        if not _has(database, "benchmark_results"):
            return
        database.execute(_OF_RUNS)
        database.execute(
            "INSERT OR IGNORE INTO run_scores (run, score) SELECT runs.run, scored.score"
            " FROM runs, benchmark_results AS scored WHERE runs.run = ? AND machine_id = ?"
            " ORDER BY scored.id DESC LIMIT 1",
            (run, machine_id()),
        )


def scores_of(state_folder: Path, runs: Collection[str]) -> dict[str, float]:
    """The scores that were stored with runs. Raises InfraError."""
    with _history(state_folder) as database:
        if not _has(database, "run_scores"):
            return {}
        wanted = ", ".join("?" * len(runs))
        query = f"SELECT run, score FROM run_scores WHERE run IN ({wanted})"  # noqa: S608 - marks only
        return {row["run"]: row["score"] for row in database.execute(query, tuple(runs))}


@contextlib.contextmanager
def _history(state_folder: Path) -> Iterator[sqlite3.Connection]:
    path = state_folder / FILE
    try:
        with contextlib.closing(connect(path)) as database:
            yield database
    except (OSError, sqlite3.Error) as error:
        raise InfraError(f"cannot use the history {path}: {error}") from error


def _append(database: sqlite3.Connection, result: MachineScore) -> None:
    database.execute(_SCORES)
    database.execute(
        "INSERT INTO benchmark_results (machine_id, cpu_score, memory_score, disk_score,"
        " io_score, score, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*result.to_dict().values(), time.time()),
    )


def _has(database: sqlite3.Connection, table: str) -> bool:
    query = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
    return database.execute(query, (table,)).fetchone() is not None


_BLOCK = 1 << 20


def measure_machine(name: str | None = None, iterations: int = 3) -> MachineScore:
    """Measure all resources; takes about 0.3 s per iteration.

    Args:
        name: the machine's id; None computes it.
        iterations: tries per resource, from 1.

    Raises:
        ValueError: fewer than one iteration.
        OSError: the temporary folder cannot be written.
    """
    cpu = cpu_score(iterations)
    memory = memory_score(iterations)
    disk = disk_score(iterations)
    lines = io_score(iterations)
    total = overall_score(cpu, memory, disk, lines)
    return MachineScore(name or machine_id(), cpu, memory, disk, lines, total)


def cpu_score(iterations: int = 3) -> float:
    """Integer arithmetic in the interpreter; 100 is 10 million additions per second."""
    count = 300_000
    return count / _best_s(lambda: _add_up(count), iterations) / 100_000


def memory_score(iterations: int = 3) -> float:
    """Copies of blocks of 1 MiB; 100 is 10 GiB per second."""
    block = os.urandom(_BLOCK)
    return 64 / _best_s(lambda: [bytearray(block) for _ in range(64)], iterations) / 102.4


def disk_score(iterations: int = 3, size_kb: int = 256) -> float:
    """Writes of `size_kb` KiB that reach the disk, each with fsync; 100 is 200 per second."""
    data = os.urandom(size_kb * 1024)
    with tempfile.TemporaryFile(buffering=0) as file:

        def write() -> None:
            for _ in range(4):
                file.seek(0)
                file.write(data)
                os.fsync(file.fileno())

        return 4 / _best_s(write, iterations) / 2


def io_score(iterations: int = 3, lines: int = 5000) -> float:
    """Lines of text that are written, flushed one by one; 100 is 500 000 per second."""
    with tempfile.TemporaryFile("w", encoding="utf-8") as file:

        def write() -> None:
            for number in range(lines):
                file.write(f"line {number}\n")
                file.flush()

        return lines / _best_s(write, iterations) / 5_000


def overall_score(*scores: float) -> float:
    """The geometric mean: a machine twice as fast in one of four resources counts 1.19 times."""
    return math.exp(sum(math.log(max(score, 1e-9)) for score in scores) / len(scores))


def _add_up(count: int) -> int:
    total = 0
    for number in range(count):
        total += number
    return total


def _best_s(work: Callable[[], object], iterations: int) -> float:
    if iterations < 1:
        raise ValueError("iterations must be greater than zero")
    best = math.inf
    for _ in range(iterations):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return max(best, 1e-9)
