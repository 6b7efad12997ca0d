"""What the actors of one group share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from testrium.declared.groups import Scenario
from testrium.evidence import Event
from testrium.record.recorder import Recorder
from testrium.record.waits import Endings
from testrium.run.change import Change
from testrium.run.diagnostics import Diagnostics
from testrium.run.environment import Surroundings
from testrium.run.folder import RunFolder
from testrium.run.logs import Logs
from testrium.run.services import Services

if TYPE_CHECKING:
    from testrium.run.faults import Injector


class LinkSwitch(Protocol):
    """The links of a group, as its units need them; `Links` is one."""

    async def set_up(self, unit: str, *, up: bool) -> None:
        """Let connections to the unit through, or refuse them: it has a process, or none."""


class Stage:
    """What the actors of one group share. `deadline_ns` is known once the first of them starts.

    `injector` is there where a failpoint is declared; `links` are those that the group breaks on
    purpose, None where it breaks none.
    """

    def __init__(
        self,
        scenario: Scenario,
        services: Services,
        surroundings: Surroundings,
        folder: RunFolder,
        recorder: Recorder,
        change: Change,
        logs: Logs,
        diagnostics: Diagnostics,
        injector: Injector | None,
        endings: Endings,
    ) -> None:
        self.scenario = scenario
        self.services = services
        self.surroundings = surroundings
        self.folder = folder
        self.recorder = recorder
        self.change = change
        self.logs = logs
        self.diagnostics = diagnostics
        self.injector = injector
        self.endings = endings
        self.links: LinkSwitch | None = None
        self.attempt = 1
        self.started_ns: int | None = None
        self.deadline_ns: int | None = None

    def keep_values(self, event: Event) -> None:
        """Tell all processes from now on what a fixture has said when it became ready."""
        texts = {name: str(value) for name, value in event.meta.items()}
        values = {**self.surroundings.fixture_values, event.unit: texts}
        self.surroundings = self.surroundings._replace(fixture_values=values)

    def begin(self) -> None:
        """Start the group's clock, at its first unit's start."""
        if self.started_ns is None:
            self.started_ns = time.monotonic_ns()
            self.deadline_ns = self.started_ns + int(self.scenario.group.timeout_s * 1e9)
