from __future__ import annotations

import os
from pathlib import Path

import pytest

from testrium.errors import InfraError
from testrium.record.runs import MARK, is_state_folder, make_state_folder


def test_a_new_folder_is_private_marked_and_ignored_by_git(tmp_path: Path) -> None:
    folder = tmp_path / "build" / "state"
    make_state_folder(folder)
    assert is_state_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize(("name", "is_ours"), [("history.db-wal", True), ("notes.txt", False)])
def test_a_folder_that_exists(tmp_path: Path, name: str, is_ours: bool) -> None:
    (tmp_path / name).touch()
    (tmp_path / "runs").mkdir()
    make_state_folder(tmp_path)
    assert is_state_folder(tmp_path) is is_ours
    assert (tmp_path / MARK).exists() is is_ours
    assert (tmp_path / ".gitignore").exists() is is_ours


def test_what_the_user_wrote_into_it_stays(tmp_path: Path) -> None:
    make_state_folder(tmp_path)
    (tmp_path / ".gitignore").write_text("mine")
    make_state_folder(tmp_path)
    assert (tmp_path / ".gitignore").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no user ids")
def test_a_state_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(InfraError, match="belongs to another user"):
        make_state_folder(tmp_path)
