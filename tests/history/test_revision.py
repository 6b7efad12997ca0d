from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from testrium.history.rows import revision_of


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    git(tmp_path, "init", "-q")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_commit_and_what_differs_from_it(repository: Path) -> None:
    (repository / "file").write_text("one")
    git(repository, "add", "file")
    git(repository, "commit", "-q", "-m", "first")
    (repository / "sub").mkdir()
    clean = revision_of(repository / "sub", timeout_s=60)
    (repository / "untracked").touch()
    still_clean = revision_of(repository, timeout_s=60)
    (repository / "file").write_text("two")
    dirty = revision_of(repository, timeout_s=60)

    assert clean is not None
    assert dirty is not None
    assert len(clean.commit) == 40
    assert clean == still_clean
    assert (clean.dirty, dirty.dirty) == (False, True)
    assert clean.commit == dirty.commit


def test_no_commit_yet(repository: Path) -> None:
    assert revision_of(repository, timeout_s=60) is None


def test_no_repository_or_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert revision_of(tmp_path, timeout_s=60) is None

    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision_of(tmp_path, timeout_s=60) is None


def test_no_answer_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    assert revision_of(tmp_path, timeout_s=0.01) is None
