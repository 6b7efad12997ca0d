"""Old import path: the machine's score, under its classic names."""

from __future__ import annotations

from testrium.history.machine import MachineScore as BenchmarkResult
from testrium.history.machine import cpu_score as cpu_benchmark
from testrium.history.machine import disk_score as disk_benchmark
from testrium.history.machine import io_score as io_benchmark
from testrium.history.machine import machine_id as get_machine_id
from testrium.history.machine import measure_machine, normalized_s, overall_score
from testrium.history.machine import memory_score as memory_benchmark
from testrium.history.machine import save_score as save_benchmark_result

__all__ = [
    "BenchmarkResult",
    "calculate_machine_score",
    "cpu_benchmark",
    "disk_benchmark",
    "get_machine_id",
    "io_benchmark",
    "memory_benchmark",
    "normalize_duration",
    "run_machine_benchmark",
    "save_benchmark_result",
]


def run_machine_benchmark(machine_id: str | None = None, iterations: int = 3) -> BenchmarkResult:
    """Measure this machine; see `testrium.history.machine.measure_machine`."""
    return measure_machine(machine_id, iterations)


def calculate_machine_score(
    cpu_score: float, memory_score: float, disk_score: float, io_score: float
) -> float:
    """One score of the four; see `testrium.history.machine.overall_score`."""
    return overall_score(cpu_score, memory_score, disk_score, io_score)


def normalize_duration(duration: float, machine_score: float, baseline_score: float) -> float:
    """How many seconds it would have taken on the machine with `baseline_score`."""
    return normalized_s(duration, machine_score, baseline_score)
