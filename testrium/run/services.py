"""What all groups of one run share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from testrium.declared.groups import Scenario
from testrium.evidence import CheckResult, Event
from testrium.results import Observer
from testrium.run.monitor import Pace
from testrium.run.ports import PortAllocator
from testrium.run.supervision import Supervisor

if TYPE_CHECKING:
    from testrium.run.sharing import SharedFixture


#: Processes of a run that may be starting at the same time.
STARTING = 16


class Expectations(Protocol):
    """Answers while events come in whether all that a scenario asks for has happened."""

    def feed(self, events: Iterable[Event]) -> None: ...

    def met(self) -> bool: ...

    def reset(self) -> None: ...

    def describe(self) -> tuple[str, ...]: ...


class Interrupt:
    """Asked to stop: once politely (`asked`), twice at once (`now`)."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.now = asyncio.Event()

    def ask(self) -> None:
        (self.now if self.asked.is_set() else self.asked).set()


class Services(NamedTuple):
    """The shared parts, and the questions that only verification can answer.

    `expectations` makes the tracker of a scenario. `checks` makes its checks on what lies beside a
    database; the flag says whether reference files may be rewritten, and once the event is set they
    are given up: None. `classic_results` turns what
    is stored so far and the group's duration in seconds into the dictionary that a group's
    `tests_results` callback gets. They are handed in, because running comes before judging, and
    may raise InfraError. With `verbose` the observer gets the output of units.
    """

    run: str
    folder: Path
    supervisor: Supervisor
    ports: PortAllocator
    observer: Observer
    interrupt: Interrupt
    domain: str
    verbose: bool
    expectations: Callable[[Scenario], Expectations]
    checks: Callable[
        [Scenario, Path, bool, asyncio.Event], Awaitable[tuple[CheckResult, ...] | None]
    ]
    classic_results: Callable[[Scenario, Path, float], Awaitable[Mapping[str, Any]]]
    pace: Pace
    #: Who starts a process goes through it. The supervisor forks one after the other; a longer
    #: line there would go on after a deadline, and making thousands of starts holds up the loop.
    gate: asyncio.Semaphore
    #: The fixtures that are shared by groups and were needed so far, by their file.
    fixtures: dict[str, SharedFixture]
