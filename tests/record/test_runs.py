from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from testrium.errors import UsageError
from testrium.record import runs


def make(state: Path, *names: str) -> list[Path]:
    folders = []
    for age, name in enumerate(names):
        folder = state / runs.FOLDER / name
        folder.mkdir(parents=True)
        (folder / "report.json").touch()
        os.utime(folder, ns=(age, age))
        folders.append(folder)
    return folders


def test_runs_are_listed_by_time(tmp_path: Path) -> None:
    """By the time in the id; within one second by when the folder was written last."""
    names = ["20261121-031502-9999", "20261121-031502-0000", "20261121-031501-ffff"]
    make(tmp_path, *names)

    assert [run.name for run in runs.list_runs(tmp_path)] == [names[2], names[0], names[1]]


def test_other_folders_are_not_listed_as_runs(tmp_path: Path) -> None:
    (first,) = make(tmp_path, "20261121-031500-ab12")
    (tmp_path / runs.FOLDER / "file").touch()
    (tmp_path / runs.FOLDER / "link").symlink_to(tmp_path)
    (tmp_path / runs.FOLDER / ".hidden").mkdir()

    assert runs.list_runs(tmp_path) == (first,)
    assert runs.list_runs(tmp_path / "none") == ()


def test_runs_of_the_ancestor_are_left_alone(tmp_path: Path) -> None:
    (first,) = make(tmp_path, "20261121-031500-ab12")
    old = tmp_path / runs.FOLDER / "test_shop-1796024457867"
    old.mkdir()
    (old / "Data.db").touch()

    assert runs.list_runs(tmp_path) == (first,)
    with pytest.raises(UsageError, match="no run begins with 'test_shop'"):
        runs.find_run(tmp_path, "test_shop")
    assert runs.prune(tmp_path, keep=0) == (first.name,)
    assert old.exists()


def test_a_run_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    first, second = make(tmp_path, "20261120-1", "20261121-1")

    assert runs.find_run(tmp_path, "20261120") == first
    assert runs.find_run(tmp_path, "20261121-1") == second
    assert runs.find_run(tmp_path) == second


def test_a_whole_id_is_unique_even_if_it_begins_another(tmp_path: Path) -> None:
    first, _ = make(tmp_path, "20261120-1", "20261120-12")

    assert runs.find_run(tmp_path, "20261120-1") == first


@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        ("2026", r"'2026' begins several runs: 20261121-1, 20261120-1$"),
        ("checkout", r"no run begins with 'checkout'; the latest are 20261121-1, 20261120-1$"),
        ("../runs", r"no run begins with '\.\./runs'"),
    ],
)
def test_no_or_several_runs_are_told(beginning: str, message: str, tmp_path: Path) -> None:
    make(tmp_path, "20261120-1", "20261121-1")

    with pytest.raises(UsageError, match=message):
        runs.find_run(tmp_path, beginning)


def test_many_runs_are_not_all_told(tmp_path: Path) -> None:
    make(tmp_path, *(f"2026-{number}" for number in range(9)))

    with pytest.raises(UsageError, match="2026-8, 2026-7, 2026-6, 2026-5, 2026-4 and 4 more"):
        runs.find_run(tmp_path, "2026")


def test_no_run_yet(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is kept"):
        runs.find_run(tmp_path)


def test_the_oldest_runs_are_removed(tmp_path: Path) -> None:
    folders = make(tmp_path, "r1", "r2", "r3", "r4")

    assert runs.prune(tmp_path, keep=2) == ("r1", "r2")
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    assert runs.prune(tmp_path, keep=2) == ()


def test_a_running_run_is_not_removed(tmp_path: Path) -> None:
    first, _ = make(tmp_path, "r1", "r2")
    with runs.claimed(first):
        assert runs.prune(tmp_path, keep=1) == ()
    assert runs.prune(tmp_path, keep=1) == ("r1",)


def test_a_killed_run_can_be_removed(tmp_path: Path) -> None:
    first, _ = make(tmp_path, "r1", "r2")
    claim = (
        "import sys, os, signal; from pathlib import Path; from testrium.record import runs\n"
        "with runs.claimed(Path(sys.argv[1])):\n"
        "    print('claimed', flush=True); signal.pause()"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(runs.__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", claim, str(first)], stdout=subprocess.PIPE, text=True, env=environ
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        assert runs.prune(tmp_path, keep=1) == ()
        other.kill()
    assert runs.prune(tmp_path, keep=1) == ("r1",)


def test_what_a_link_names_is_not_removed(tmp_path: Path) -> None:
    make(tmp_path, "r1", "r2")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "data").touch()
    (tmp_path / runs.FOLDER / "r0").symlink_to(kept)
    (tmp_path / runs.FOLDER / "r1" / "inner").symlink_to(kept)

    assert runs.prune(tmp_path, keep=1) == ("r1",)
    assert (kept / "data").exists()


def test_a_killed_run_is_lost_until_it_was_cleaned_up(tmp_path: Path) -> None:
    ended, killed, going, foreign = make(tmp_path, "r1", "r2", "r3", "r4")
    with runs.claimed(ended):
        pass
    (killed / ".running").touch()  # what is left of a claim when its process is killed
    with runs.claimed(going):
        assert runs.lost_runs(tmp_path) == (killed,)
        runs.mark_over(killed)
        assert runs.lost_runs(tmp_path) == ()
    assert [runs.is_run(each) for each in (ended, killed, going, foreign)] == [
        True,
        True,
        True,
        False,
    ]


def test_a_group_is_discarded_with_the_folders_that_are_empty_then(tmp_path: Path) -> None:
    for name in ("shop/cart/pay", "shop/search"):
        (tmp_path / name / "units").mkdir(parents=True)
    runs.discard_group(tmp_path, tmp_path / "shop/cart/pay")
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["search"]
    runs.discard_group(tmp_path, tmp_path / "shop/search")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_socket_folder_is_given_to_the_next_group_and_removed_at_the_end() -> None:
    folders = runs.SocketFolders("20261121-031500-ab12")
    with folders.lease() as first, folders.lease() as beside:
        assert first != beside
    with folders.lease() as again:
        assert again in (first, beside)
        (again / "left").touch()
    assert not again.exists()
    folders.close()
    assert not first.exists()
    assert not beside.exists()
