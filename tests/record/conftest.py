"""A recorder with probe files that tests write by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DOMAIN = "this-clock"

#: Appends lines to a probe file: dictionaries as JSON, bytes and text as they are.
Append = Callable[..., None]


@pytest.fixture
def append(tmp_path: Path) -> Append:
    def work(name: str, *lines: dict[str, Any] | str | bytes) -> None:
        with (tmp_path / name).open("ab") as file:
            for line in lines:
                if isinstance(line, dict):
                    file.write(json.dumps(line).encode() + b"\n")
                else:
                    file.write(line.encode() if isinstance(line, str) else line)

    return work
