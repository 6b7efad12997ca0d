"""Old import path: the machine's score, under its classic names."""

from __future__ import annotations

from testrium.record.score import MachineScore as BenchmarkResult
from testrium.record.score import machine_id as get_machine_id
from testrium.record.score import normalized_s as normalize_duration
from testrium.record.score import save_score as save_benchmark_result
from testrium.run.machine import cpu_score as cpu_benchmark
from testrium.run.machine import disk_score as disk_benchmark
from testrium.run.machine import io_score as io_benchmark
from testrium.run.machine import measure_machine as run_machine_benchmark
from testrium.run.machine import memory_score as memory_benchmark
from testrium.run.machine import overall_score as calculate_machine_score

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
