"""Old import path: the machine's score, under its classic names."""

from __future__ import annotations

import contextlib
import sqlite3
import time

from testrium.run.machine import MachineScore as BenchmarkResult
from testrium.run.machine import cpu_score as cpu_benchmark
from testrium.run.machine import disk_score as disk_benchmark
from testrium.run.machine import io_score as io_benchmark
from testrium.run.machine import machine_id as get_machine_id
from testrium.run.machine import measure_machine as run_machine_benchmark
from testrium.run.machine import memory_score as memory_benchmark
from testrium.run.machine import normalized_s as normalize_duration
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


def save_benchmark_result(database_path: str, result: BenchmarkResult) -> None:
    """Append a result to the table `benchmark_results` of an SQLite file.

    Raises:
        sqlite3.Error: the file cannot be written.
    """
    with contextlib.closing(sqlite3.connect(database_path, timeout=10)) as connection, connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS benchmark_results (id INTEGER PRIMARY KEY AUTOINCREMENT,"
            " machine_id TEXT, cpu_score REAL, memory_score REAL, disk_score REAL,"
            " io_score REAL, score REAL, created_at REAL)"
        )
        connection.execute(
            "INSERT INTO benchmark_results (machine_id, cpu_score, memory_score, disk_score,"
            " io_score, score, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*result.to_dict().values(), time.time()),
        )
