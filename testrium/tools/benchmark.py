"""Old import path of `testrium.classic.benchmark`."""

from testrium.classic.benchmark import (
    BenchmarkResult,
    calculate_machine_score,
    cpu_benchmark,
    disk_benchmark,
    get_machine_id,
    io_benchmark,
    memory_benchmark,
    normalize_duration,
    run_machine_benchmark,
    save_benchmark_result,
)

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
