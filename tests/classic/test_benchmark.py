from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from testrium.tools.benchmark import (
    calculate_machine_score,
    normalize_duration,
    run_machine_benchmark,
    save_benchmark_result,
)


def test_a_result_has_a_score_per_resource() -> None:
    result = run_machine_benchmark("mine", iterations=1)
    values = result.to_dict()
    assert list(values) == [
        "machine_id",
        "cpu_score",
        "memory_score",
        "disk_score",
        "io_score",
        "score",
    ]
    assert values["machine_id"] == "mine"
    assert all(isinstance(value, float) and value > 0 for value in list(values.values())[1:])


def test_the_score_is_the_geometric_mean() -> None:
    assert calculate_machine_score(4, 1, 1, 1) == pytest.approx(2**0.5)


def test_durations_are_normalized_by_the_ratio_of_scores() -> None:
    assert normalize_duration(2.0, 100.0, 50.0) == 4.0


@pytest.mark.parametrize("scores", [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)])
def test_a_score_must_be_positive(scores: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="greater than zero"):
        normalize_duration(1.0, *scores)


def test_iterations_must_be_positive() -> None:
    with pytest.raises(ValueError, match="iterations"):
        run_machine_benchmark(iterations=0)


def test_results_are_appended(tmp_path: Path) -> None:
    result = run_machine_benchmark(iterations=1)
    database = tmp_path / "scores.db"
    save_benchmark_result(str(database), result)
    save_benchmark_result(str(database), result)
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT machine_id, score FROM benchmark_results").fetchall()
    connection.close()
    assert rows == [(result.machine_id, result.score)] * 2
