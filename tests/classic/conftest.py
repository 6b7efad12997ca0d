"""The classic API without a run, and in one."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from testrium.modules.events import (
    EVENT_DB_ENV,
)
from testrium.probe import environment as names
from testrium.record.recorder import Recorder
from testrium.record.waits import WaitServer


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run; each test says where its events are."""
    for name in (EVENT_DB_ENV, names.PROBES, names.UNIT, names.DOMAIN, names.SOCKET):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path)


class Run:
    """A recorder and its socket in a thread, and this process as the unit `source`."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder = folder
        self._socket = socket
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def new_attempt(self, attempt: int) -> None:
        done = threading.Event()

        def work() -> None:
            self.recorder.new_attempt(attempt)
            done.set()

        self.loop.call_soon_threadsafe(work)
        assert done.wait(60)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        async with (
            Recorder(self.folder / "Data.db", names.clock_domain()) as self.recorder,
            WaitServer(self.recorder, self._socket),
        ):
            self.recorder.watch("source", 1, 1, self.folder / "probes")
            self._started.set()
            await self._over.wait()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as short:
        socket = Path(short) / "waits"
        monkeypatch.setenv(names.PROBES, str(tmp_path / "probes"))
        monkeypatch.setenv(names.UNIT, "source")
        monkeypatch.setenv(names.DOMAIN, names.clock_domain())
        monkeypatch.setenv(names.SOCKET, str(socket))
        monkeypatch.setenv(EVENT_DB_ENV, str(tmp_path / "Data.db"))
        with Run(tmp_path, socket) as made:
            yield made
