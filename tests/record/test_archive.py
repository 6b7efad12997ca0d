from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from testrium.errors import InfraError, UsageError
from testrium.report import archive
from testrium.report.archive import unpacked, write_archive


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "20261121-101502-3fa9"
    for name in (".running", "report.json", "good/Data.db", "bad/Data.db", "bad/units/a/out"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def made(file: Path, *entries: zipfile.ZipInfo | str, text: str = "x") -> Path:
    with zipfile.ZipFile(file, "w") as bundle:
        for entry in entries:
            bundle.writestr(entry, text)
    return file


def test_what_is_packed_comes_out(run_folder: Path, tmp_path: Path) -> None:
    write_archive(run_folder, [run_folder / "bad"], tmp_path / "run.zip")
    with unpacked(tmp_path / "run.zip") as folder:
        files = {
            path.relative_to(folder).as_posix(): path.read_text()
            for path in folder.rglob("*")
            if path.is_file()
        }
        mode = folder.parent.stat().st_mode & 0o777

    assert folder.name == run_folder.name
    assert files == {name: name for name in ("report.json", "bad/Data.db", "bad/units/a/out")}
    assert mode == 0o700
    assert not folder.exists()


def test_anything_but_a_plain_file_is_left_out(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "bad" / "link").symlink_to("/etc/passwd")
    (run_folder / "bad" / "odd\n").touch()
    os.mkfifo(run_folder / "bad" / "pipe")
    write_archive(run_folder, [run_folder / "bad", run_folder / "bad"], tmp_path / "run.zip")

    names = zipfile.ZipFile(tmp_path / "run.zip").namelist()
    assert sorted(name.partition("/")[2] for name in names) == [
        "bad/Data.db",
        "bad/units/a/out",
        "report.json",
    ]


def test_one_that_cannot_be_written_leaves_nothing(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "taken.zip").mkdir()
    with pytest.raises(InfraError, match=r"cannot write .*taken\.zip"):
        write_archive(run_folder, [], tmp_path / "taken.zip")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    "entries",
    [
        ("../out",),
        ("run/../../out",),
        ("/run/report.json",),
        ("run\\..\\..\\out",),
        ("run/\x1b[1m",),
        (link("run/link"),),
        ("run/a", "other/a"),
        (),
    ],
)
def test_what_could_leave_the_folder_is_refused(
    tmp_path: Path, entries: tuple[zipfile.ZipInfo | str, ...]
) -> None:
    file = made(tmp_path / "evil.zip", *entries)
    with pytest.raises(UsageError, match="is not an archive of a run"), unpacked(file):
        pass


def test_bombs_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made(tmp_path / "bomb.zip", "run/a", "run/b", text="0" * 1000)
    for limit, least in (("MOST_BYTES", 2000), ("MOST_FILES", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(archive, limit, least)
            with unpacked(file) as folder:
                assert (folder / "b").stat().st_size == 1000
            patch.setattr(archive, limit, least - 1)
            with pytest.raises(UsageError, match="exceeds the unpack limit of"), unpacked(file):
                pass


def test_a_size_that_lies_is_damage(tmp_path: Path) -> None:
    file = made(tmp_path / "lie.zip", "run/a", text="0" * 1000)
    data = file.read_bytes()
    file.write_bytes(data.replace((1000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with (
        pytest.raises(UsageError, match=r"is not an archive of a run|cannot be read"),
        unpacked(file),
    ):
        pass


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04" + b"\0" * 100])
def test_another_file_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "other.zip"
    file.write_bytes(data)
    with pytest.raises(UsageError, match="is not an archive of a run: File is not a zip file"):
        unpacked(file).__enter__()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(UsageError, match="is not a regular file"):
        unpacked(tmp_path / "pipe.zip").__enter__()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.zip cannot be read: No such file"):
        unpacked(tmp_path / "gone.zip").__enter__()
