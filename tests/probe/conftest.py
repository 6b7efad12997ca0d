"""A process that belongs to a run, without a runner."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testrium.probe import environment as names

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The probe file of this process, which is the unit `source`."""
    path = tmp_path / "probes.jsonl"
    monkeypatch.setenv(names.PROBES, str(path))
    monkeypatch.setenv(names.UNIT, "source")
    monkeypatch.setenv(names.DOMAIN, names.clock_domain())
    monkeypatch.delenv(names.SOCKET, raising=False)
    return path


@pytest.fixture
def lines(probes: Path) -> Lines:
    """Reads the file's lines."""
    return lambda: [json.loads(line) for line in probes.read_bytes().splitlines()]


@pytest.fixture
def no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process belongs to no run."""
    for name in (names.PROBES, names.UNIT, names.DOMAIN, names.SOCKET):
        monkeypatch.delenv(name, raising=False)
