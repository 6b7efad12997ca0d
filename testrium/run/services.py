"""What all groups of one run share: supervisor, ports, observer, interrupts, fixtures."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from testrium.declared.groups import Scenario
from testrium.declared.units import Unit
from testrium.evidence import End, Event, UnitState
from testrium.record.recorder import Recorder
from testrium.record.runs import SocketFolders
from testrium.results import Observer
from testrium.run.change import ChangeSignal
from testrium.run.monitor import SamplingPace
from testrium.run.ports import PortAllocator
from testrium.run.supervisor.client import SupervisedProcess, Supervisor
from testrium.tuples import NamedTuple
from testrium.words import EMPTY


class FixtureStart:
    """From one start of a fixture to its `end`; `done` once a function has returned."""

    def __init__(self) -> None:
        self.end: End | None = None
        self.done = False


class SharedUnit(Protocol):
    """A unit that lives outside of the groups that use it, as they need it."""

    unit: Unit

    listeners: set[ChangeSignal]
    """Who is notified when something has changed."""

    @property
    def started(self) -> Sequence[SupervisedProcess]:
        """The processes of all its starts."""

    @property
    def logs(self) -> tuple[Path, Path]:
        """Its standard output and its standard error, of all its starts."""

    async def ports(self) -> Mapping[str, int]:
        """Its ports by name. Raises InfraError: its folder or its store cannot be made."""

    def borrow(self) -> FixtureStart:
        """The current start of the fixture; starts it if needed and still possible."""

    def is_ready(self, life: FixtureStart) -> bool:
        """Whether it has become ready in this life, and is alive."""


class SharedFixture(SharedUnit, Protocol):
    """A fixture of the whole run; `RunFixture` is one."""

    async def told(self, step: str) -> Event:
        """The probe `step` of its last start, which may be yet to come."""

    async def close(self, *, keep: bool) -> None:
        """Stop it, at once if the user asked twice; `keep` tells whether its folder stays."""


class StandingService(SharedUnit, Protocol):
    """A unit that stays up from one run of its group to the next; `KeptService` is one."""

    @property
    def log_sizes(self) -> Mapping[Path, int]:
        """How much it had written into each of its logs when it was used first."""

    @property
    def end(self) -> End:
        """How it has ended."""

    @property
    def has_ended(self) -> bool:
        """Whether it has ended as it should: it has done its part, and is not a service."""

    def join(self, recorder: Recorder) -> None:
        """Make what it has emitted so far, and what it will emit, events of this recorder too."""

    async def leave(self, recorder: Recorder) -> None:
        """Pass on what it has emitted until now, and no more. Raises InfraError."""


@contextmanager
def handling_signals(names: Collection[str], handle: Callable[[str], None]) -> Iterator[None]:
    """Call `handle` with the name of each of these signals that comes; none is lost or fatal.

    Once one has come, those that follow this block are ignored: the report is written by then, and
    who asks again must not lose it.
    Names that this system has no signal for are passed over. In another thread than the main one
    nothing is handled: no signal comes there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in signal.Signals if number.name in names]
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":  # its loop knows no signals

        def handle_soon(number: int, _: object) -> None:
            loop.call_soon_threadsafe(handle, signal.Signals(number).name)

        before = {number: signal.signal(number, handle_soon) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return
    came: list[str] = []

    def handle_and_note(name: str) -> None:
        came.append(name)
        handle(name)

    for number in numbers:
        loop.add_signal_handler(number, handle_and_note, number.name)
    # Who started the runner may have blocked them.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    try:
        yield
    finally:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
        for number in numbers:
            loop.remove_signal_handler(number)
            if came:
                signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


#: Processes of a run that may be starting at the same time.
STARTING = 16


class HeldGroup(Protocol):
    """A group whose units are kept up, as the caller sees it; a `GroupRun` is one."""

    @property
    def scenario(self) -> Scenario: ...

    @property
    def path(self) -> Path:
        """The folder of the group's run."""

    @property
    def ports(self) -> Mapping[str, Mapping[str, int]]:
        """Unit -> name -> the TCP port at which others reach it."""

    def states(self) -> Mapping[str, tuple[UnitState, int | None]]:
        """Unit -> its state, and the pid of its process if it has one now."""

    async def wait_for(self, unit: str, step: str, key: str | None = None) -> Event:
        """The first such event, stored already or still to come."""


class Hold(Protocol):
    """Keeps the units of a group up, without a deadline: `testrium up`, a test of pytest.

    `patience_s` is how long what is still open then is waited for; None: the group's timeout.
    """

    patience_s: float | None

    async def until_released(self, group: HeldGroup) -> None:
        """Return when they are not needed any more. Called once all units are ready; cancelled
        where the group ends before.
        """


class Interrupt:
    """Asked to stop: once politely (`asked`), twice at once (`now`)."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.now = asyncio.Event()

    def ask(self) -> None:
        (self.now if self.asked.is_set() else self.asked).set()


class RunServices(NamedTuple):
    """The shared parts. With `verbose` the observer gets the output of units."""

    run: str
    folder: Path
    supervisor: Supervisor
    ports: PortAllocator
    sockets: SocketFolders
    observer: Observer
    interrupt: Interrupt
    domain: str
    verbose: bool
    pace: SamplingPace
    #: Who starts a process goes through it. The supervisor forks one after the other; a longer
    #: line there would go on after a deadline, and making thousands of starts holds up the loop.
    gate: asyncio.Semaphore
    #: The fixtures that are shared by groups and were needed so far, by their file.
    fixtures: dict[str, SharedFixture]
    #: Whether units of a group that has failed stay alive until it is stopped.
    holds_failures: bool = False
    #: Units of the group, by name, that stay up from one of its runs to the next.
    kept: Mapping[str, StandingService] = EMPTY
