"""`testrium benchmark`, and what becomes of a score in the history."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from testrium.cli.machine import benchmark_command
from testrium.cli.main import Common
from testrium.errors import InfraError
from testrium.history.machine import MachineScore, keep_score, machine_id

if TYPE_CHECKING:
    from tests.conftest import Workplace


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    monkeypatch.setattr("testrium.load.project.state_folder", lambda cwd: folder)
    return folder


def benchmark(*arguments: str) -> Result:
    return CliRunner().invoke(
        benchmark_command,
        ("--iterations", "1", *arguments),
        obj=Common(),
        catch_exceptions=False,
        standalone_mode=False,
    )


def rows(database: Path) -> list[tuple[str, float]]:
    with closing(sqlite3.connect(database)) as opened:
        return list(opened.execute("SELECT machine_id, score FROM benchmark_results"))


def test_the_score_is_kept_in_the_history(state: Path) -> None:
    output = benchmark().output.splitlines()
    assert [line.split()[0] for line in output] == ["CPU", "memory", "disk", "I/O", "score"]
    [(machine, score)] = rows(state / "history.db")
    assert machine == machine_id()
    assert output[-1].split()[1] == f"{score:.1f}"


def test_another_database(state: Path, tmp_path: Path) -> None:
    result = json.loads(benchmark("--database", str(tmp_path / "scores.db"), "--json").output)
    assert rows(tmp_path / "scores.db") == [(result["machine_id"], result["score"])]
    assert not state.exists()


def test_a_database_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match=r"cannot write .*: unable to open"):
        benchmark("--database", str(tmp_path / "nowhere" / "scores.db"))


def test_a_run_is_stored_with_the_score_of_its_machine(workplace: Workplace) -> None:
    """Beside the duration there is what it would be at score 100; runs before have none."""
    workplace.group({"a": 'command = ["true"]'})

    def history() -> list[dict[str, Any]]:
        told = workplace.finish(workplace.start("history", "--json")).stdout
        listed: list[dict[str, Any]] = json.loads(told)
        return listed

    assert workplace.run().exit_code == 0
    state = workplace.folder / ".testrium"
    for machine, score in (("another", 10.0), (machine_id(), 400.0), (machine_id(), 200.0)):
        keep_score(state, MachineScore(machine, 1.0, 1.0, 1.0, 1.0, score))
    assert workplace.run().exit_code == 0
    workplace.group({"a": 'command = ["true"]'}, configs="save-scores = false")
    assert workplace.run().exit_code == 0

    unscored, scored, before = history()
    assert unscored["machine_score"] is None
    assert before["normalized_s"] is None
    assert scored["machine_score"] == 200.0
    assert scored["normalized_s"] == pytest.approx(2 * scored["duration_s"])
    head, _, line, last = workplace.finish(workplace.start("history")).stdout.splitlines()
    assert "  at score 100  " in head
    assert f"{scored['duration_s']:.2f} s  {scored['normalized_s']:>10.2f} s" in line
    assert last.split()[-3:] == ["-", "1", "pass"]
