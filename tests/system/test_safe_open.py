"""Nothing that stands in the place of a file holds up who opens it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from testrium.system.files import (
    LineDecoder,
    after_hole,
    decoded,
    open_regular,
    read_regular,
    regular_text,
    split_lines,
)

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
def test_anything_but_a_regular_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, flags: int
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "log"
    assert callable(make)
    make(path)
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        open_regular(path, flags)


def test_a_pipe_with_a_reader_is_refused_too(tmp_path: Path) -> None:
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


TEXT = "ready: Größe\n価格 100\nlast"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32", "shift_jis", "gb18030"]
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_lines_are_the_same_however_their_bytes_come_in(encoding: str, step: int) -> None:
    text = TEXT if encoding != "shift_jis" else TEXT.replace("öß", "os")
    data = text.encode(encoding)
    decoder = LineDecoder(encoding)
    lines = []
    for start in range(0, len(data), step):
        lines += decoder.lines(data[start : start + step])
    lines += decoder.lines(b"", final=True)
    assert [*lines, decoder.rest] == text.split("\n")
    assert [line for _, line in split_lines(data, encoding)] == text.split("\n")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp037"])
def test_encodings_of_one_byte_keep_the_sizes_of_their_lines(encoding: str) -> None:
    data = "Größe\nx\n".encode(encoding)
    assert list(split_lines(data, encoding)) == [(6, "Größe"), (2, "x"), (1, "")]


def test_a_byte_that_does_not_fit_stays_visible() -> None:
    assert decoded(b"a\xffb") == "a\\xffb"
    assert LineDecoder("cp1252").lines(b"a\x81\r\n") == ["a\\x81"]


def test_each_start_of_a_program_may_begin_with_the_mark_of_its_byte_order() -> None:
    data = "one\n".encode("utf-16") + "two\n".encode("utf-16")
    assert LineDecoder("utf-16").lines(data) == ["one", "two"]
