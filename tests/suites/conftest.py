"""A process that is the unit `suite`, and what it has told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testrium.probe import environment as names

#: Reads the metadata of all probes so far.
Told = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    path = tmp_path / "probes.jsonl"
    monkeypatch.setenv(names.PROBES, str(path))
    monkeypatch.setenv(names.UNIT, "suite")
    monkeypatch.setenv(names.DOMAIN, names.clock_domain())
    monkeypatch.delenv(names.SOCKET, raising=False)
    path.touch()

    def read() -> list[dict[str, Any]]:
        return [json.loads(line)["meta"] for line in path.read_bytes().splitlines()]

    return read


@pytest.fixture
def own_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the test imports, and where from, is forgotten after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def outcomes(told: Told) -> Callable[[], dict[str, tuple[str, str]]]:
    """Test -> outcome and message."""
    return lambda: {each["test"]: (each["outcome"], each.get("message", "")) for each in told()}
