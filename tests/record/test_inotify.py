from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testrium.record.inotify import Inotify


@pytest.fixture
def news() -> Iterator[Inotify]:
    made = Inotify.open()
    assert made is not None
    yield made
    made.close()


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def test_it_tells_which_file_was_written(news: Inotify, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.touch()
    numbers = [news.add(str(path)) for path in paths]
    assert news.read() == set()
    append(paths[0])
    append(paths[2])
    assert news.read() == {numbers[0], numbers[2]}
    assert news.read() == set()


def test_waiting_ends_with_the_news(news: Inotify, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    news.add(str(path))
    assert not news.wait(0)
    thread = threading.Thread(target=append, args=(path,))
    thread.start()
    assert news.wait(60)
    thread.join()


def test_what_cannot_be_watched(news: Inotify, tmp_path: Path) -> None:
    assert news.add(str(tmp_path / "missing")) is None


def test_a_deleted_file_is_not_reported(news: Inotify, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    news.add(str(path))
    path.unlink()
    assert news.wait(60)
    assert news.read() == set()


def test_lost_news_mean_any_file(
    news: Inotify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import struct

    overflow = struct.pack("iIII", -1, 0x4000, 0, 0)
    parts: list[bytes] = [overflow]

    def read(fd: int, size: int) -> bytes:
        if parts:
            return parts.pop()
        raise BlockingIOError

    monkeypatch.setattr(os, "read", read)
    assert news.read() is None


def test_elsewhere_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert Inotify.open() is None


def test_one_that_was_closed_is_opened_again_and_knows_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    first = Inotify.open()
    assert first is not None
    first.add(str(path))
    append(path)
    first.close()
    again = Inotify.open()
    assert again is first
    append(path)
    assert not again.wait(0)
    again.close()


def test_a_forked_process_ends_no_watch_of_its_parent(news: Inotify, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    number = news.add(str(path))
    pid = os.fork()
    if pid == 0:
        Inotify.open()
        news.close()
        os._exit(0)
    os.waitpid(pid, 0)
    append(path)
    assert news.read() == {number}
