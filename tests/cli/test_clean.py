from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testrium.cli.stored_runs import clean_command
from testrium.errors import UsageError
from testrium.record.runs import claimed, make_state_folder

DAY_S = 86_400


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / ".testrium"
    make_state_folder(folder)
    monkeypatch.setattr("testrium.cli.stored_runs.state_folder", lambda cwd: folder)
    return folder


@pytest.fixture
def runs(state: Path) -> list[Path]:
    """Five runs: the first ended four days ago, the last just now."""
    folders = []
    for number in range(5):
        folder = state / "runs" / f"2026112{number}-031500-ab12"
        folder.mkdir(parents=True)
        with claimed(folder):
            (folder / "report.json").touch()
        ended = time.time() - (4 - number) * DAY_S
        os.utime(folder, (ended, ended))
        folders.append(folder)
    return folders


def clean(*arguments: str) -> Result:
    return CliRunner().invoke(
        clean_command, arguments, catch_exceptions=False, standalone_mode=False
    )


def left(runs: list[Path]) -> str:
    return "".join(str(number) for number, folder in enumerate(runs) if folder.exists())


@pytest.mark.parametrize(
    ("arguments", "kept", "told"),
    [
        ((), "01234", "5 runs kept; remove some with --older-than, --keep or --all\n"),
        (("--all",), "", "5 runs removed, 0 kept\n"),
        (("--keep", "2"), "34", "3 runs removed, 2 kept\n"),
        (("--keep", "9"), "01234", "0 runs removed, 5 kept\n"),
        (("--older-than", "60h"), "234", "2 runs removed, 3 kept\n"),
        (("--older-than", "60h", "--keep", "4"), "1234", "1 run removed, 4 kept\n"),
        (("--older-than", "2w"), "01234", "0 runs removed, 5 kept\n"),
    ],
)
def test_runs_are_removed(
    runs: list[Path], arguments: tuple[str, ...], kept: str, told: str
) -> None:
    assert clean(*arguments).output == told
    assert left(runs) == kept


def test_a_running_run_stays(runs: list[Path]) -> None:
    with claimed(runs[1]):
        assert clean("--all").output == "4 runs removed, 1 kept\n"
    assert left(runs) == "1"


def test_other_folders_stay(state: Path, runs: list[Path]) -> None:
    (state / "runs" / "mine").mkdir()
    (state / "history.db").touch()
    clean("--all")
    assert (state / "runs" / "mine").exists()
    assert (state / "history.db").exists()


def test_a_folder_that_testrium_did_not_make_is_left_alone(state: Path, runs: list[Path]) -> None:
    (state / ".testrium-state").unlink()
    with pytest.raises(UsageError, match="was not made by Testrium"):
        clean("--all")
    assert left(runs) == "01234"


def test_no_state_folder_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("testrium.cli.stored_runs.state_folder", lambda cwd: tmp_path / "none")
    assert clean("--all").output == f"nothing to clean: {tmp_path}/none does not exist\n"


@pytest.mark.parametrize("age", ["7", "d", "-7d", "1.5d", "7 d"])
def test_an_invalid_age_is_refused(state: Path, age: str) -> None:
    result = CliRunner().invoke(clean_command, ["--older-than", age])
    assert "use 90s, 30m, 12h, 7d or 2w" in result.output


def test_all_and_some_is_refused(runs: list[Path]) -> None:
    with pytest.raises(UsageError, match="--all conflicts with --older-than"):
        clean("--all", "--keep", "2")
    assert left(runs) == "01234"
