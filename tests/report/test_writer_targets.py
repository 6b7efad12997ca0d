from __future__ import annotations

import os
from pathlib import Path

import pytest

from testrium.errors import UsageError
from testrium.report.writer import ReportChoice, check_targets


def choices(*targets: str | None) -> list[ReportChoice]:
    return [ReportChoice(f"--{index}", str(index), target) for index, target in enumerate(targets)]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (("gone/report",), "--0: cannot write 'gone/report': the folder '.*gone' does not exist"),
        (("folder",), "--0: cannot write 'folder': it is a folder"),
        (("",), "--0 needs the name of a file"),
        (("x" * 300,), "--0: cannot write 'xxx.*x': File name too long"),
        (("file/report",), "the folder '.*file' does not exist"),
        (("-", "-"), "--0 and --1 would both write to standard output"),
        (("-", "/dev/stdout"), "--0 and --1 would both write to standard output"),
        (("a", "b", "folder/../a"), "--0 and --2 would both write to folder/../a"),
        (("file", "link"), "--0 and --1 would both write to link"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused(
    tmp_path: Path, targets: tuple[str, ...], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(UsageError, match=message):
        check_targets(choices(*targets), tmp_path)


def test_a_target_that_can_be_written_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    check_targets(choices("new", "old", "-", None, None, os.devnull, os.devnull), tmp_path)

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "old")]


def test_permissions_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(UsageError, match="no permission to write to"):
        check_targets(choices("report"), tmp_path)
