"""Where probes are emitted."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A unit and a step; `*` stands for any."""

    unit: str
    step: str

    def __str__(self) -> str:
        return f"{self.unit}:{self.step}"
