"""How fast this machine is: a score per resource, so that durations of two machines compare.

A score is the rate of a small fixed piece of work, best of several tries (the best is what the
machine can do; slower tries measure its neighbours). 100 is about one core of a small server of
2023. Scores of one resource compare between machines; those of two resources do not.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable

from testrium.record.score import MachineScore, machine_id

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
    with tempfile.TemporaryFile("w") as file:

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
