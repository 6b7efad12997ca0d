"""What the groups of a run need of a fixture that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from testrium.declared.units import Unit
from testrium.evidence import End, Event
from testrium.run.change import Change


@dataclass(slots=True)
class Life:
    """From one start of a fixture to its `end`; `done` once a function has returned."""

    end: End | None = None
    done: bool = False


class SharedFixture(Protocol):
    """A fixture of the whole run, as its groups need it; `Shared` is one."""

    unit: Unit

    listeners: set[Change]
    """Who is notified when something has changed."""

    @property
    def logs(self) -> tuple[Path, Path]:
        """Its standard output and its standard error, of all its starts."""

    async def ports(self) -> Mapping[str, int]:
        """Its ports by name. Raises InfraError: its folder or its store cannot be made."""

    def borrow(self) -> Life:
        """Its life, which begins now if there is none; the last one if there can be no other."""

    def is_ready(self, life: Life) -> bool:
        """Whether it has become ready in this life, and is alive."""

    async def told(self, step: str) -> Event:
        """The probe `step` of its last start, which may be yet to come."""

    async def close(self, *, keep: bool) -> None:
        """Stop it, at once if the user asked twice; `keep` tells whether its folder stays."""
