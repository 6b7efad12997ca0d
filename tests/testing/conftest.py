"""Small programs to start, and a folder of one's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testrium.testing import files, starting
from testrium.testing.processes import Process

Start = Callable[..., Process]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Output goes below the test's folder, which is also the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files, "_temporary", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def python() -> Iterator[Start]:
    """Start a Python program; it is gone when the test ends."""
    started: list[Process] = []

    def start(code: str, **options: object) -> Process:
        process = starting.start([sys.executable, "-uc", code], **options)  # type: ignore[arg-type]
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop("KILL")
