"""Nothing that stands in the place of a file holds up who opens it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from testrium.system.files import after_hole, open_regular, read_regular, regular_text

WRITING = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def pipe(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # absolute paths are too long for a socket


@pytest.mark.parametrize("make", [pipe, endless, bound, Path.mkdir])
@pytest.mark.parametrize("flags", [os.O_RDONLY, WRITING])
def test_what_is_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, flags: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "log"
    assert callable(make)
    make(path)
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        open_regular(path, flags)


def test_a_pipe_that_somebody_reads_is_no_file_either(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(path, WRITING)
    os.close(reader)


def test_files_and_the_null_device_are_opened(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with os.fdopen(open_regular(path, WRITING), "wb") as file:
        file.write("näh".encode())
        assert os.get_blocking(file.fileno())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert regular_text(path) == "näh"
    with read_regular(os.devnull) as nothing:
        assert nothing.read() == b""


def test_holes_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("w+b") as file:
        file.write(b"begin")
        file.seek(1 << 33)
        file.write(b"end")
        file.truncate(1 << 34)
        file.flush()
        assert after_hole(file.fileno(), 2) == 2
        assert 1 << 32 < after_hole(file.fileno(), 1 << 20) <= 1 << 33
        assert after_hole(file.fileno(), (1 << 33) + (1 << 20)) == 1 << 34
