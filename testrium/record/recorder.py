"""Store events from probe files, logs and faults in Data.db, and answer waiting processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Self, TypeVar

from testrium.errors import InfraError
from testrium.evidence import End, Event, Sample, TestResult, UnitState
from testrium.record.database import Reading, collector_paused
from testrium.record.inotify import Watching
from testrium.record.probe_file import (
    BadLineError,
    Batch,
    DamageFields,
    MetricFields,
    ProbeFile,
    check_fields,
    shown_line,
)
from testrium.record.store import Store
from testrium.tuples import NamedTuple
from testrium.words import EMPTY, FAULTS, EventType

#: Gets the event, or the reason why there will be none.
Answer = Callable[[Event | InfraError], None]


class Wait:
    """A wait for an event of `unit` at `step`; `*` is any, None is any too."""

    def __init__(
        self,
        unit: str,
        step: str,
        key: str | None,
        start: int | None,
        attempt: int | None,
        answer: Answer,
    ) -> None:
        self.unit = unit
        self.step = step
        self.key = key
        self.start = start
        self.attempt = attempt
        self.answer = answer

    def matches(self, event: Event, attempt: int) -> bool:
        """Whether the event is an answer; `attempt` is the current one."""
        return (
            self.unit in ("*", event.unit)
            and self.step in ("*", event.step)
            and (self.key is None or self.key == event.key)
            and (self.start is None or self.start == event.start)
            and event.attempt == (attempt if self.attempt is None else self.attempt)
        )


#: Unit, step and key of a wait, as it says them.
_Place = tuple[str, str, str | None]


class Pending:
    """All open waits of a group, found by what they say: a few looks per event, however many."""

    def __init__(self) -> None:
        self._by_place: dict[_Place, dict[Wait, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_place.values()))

    def add(self, wait: Wait) -> None:
        self._by_place.setdefault((wait.unit, wait.step, wait.key), {})[wait] = None

    def remove(self, wait: Wait) -> None:
        """Forget a wait, answered or not."""
        place = (wait.unit, wait.step, wait.key)
        waits = self._by_place.get(place, {})
        waits.pop(wait, None)
        if not waits:
            self._by_place.pop(place, None)

    def feed(self, events: Iterable[Event], attempt: int) -> None:
        """Answer the waits that these events fulfil, each with the first one."""
        for event in events:
            if not self._by_place:
                return
            for wait in self._at(event):
                if wait.matches(event, attempt):
                    self.remove(wait)
                    wait.answer(event)

    def _at(self, event: Event) -> list[Wait]:
        keys = (None,) if event.key is None else (event.key, None)
        return [
            wait
            for place in product((event.unit, "*"), (event.step, "*"), keys)
            for wait in self._by_place.get(place, ())
        ]

    def fail(self, error: InfraError) -> None:
        """Tell everybody that no event will come any more."""
        waits = [wait for waits in self._by_place.values() for wait in waits]
        self._by_place.clear()
        for wait in waits:
            wait.answer(error)


class RunnerEvent(NamedTuple):
    """What the runner saw; its time is now, at most.

    `t_low_ns`: it cannot be older; None where it is exactly of now. `line` is the text that it was
    seen in, for the damage that it becomes where it is not a probe. `owner` is `unit` unless given.
    """

    unit: str
    step: str
    type: EventType = EventType.DEFAULT
    key: str | None = None
    meta: Mapping[str, Any] = EMPTY
    start: int = 1
    pid: int = 0
    t_low_ns: int | None = None
    line: str = ""
    owner: str | None = None


def injected(
    fault: str,
    *,
    do: str,
    unit: str,
    start: int = 0,
    pid: int = 0,
    key: str | None = None,
    **facts: Any,
) -> RunnerEvent:
    """The event that a planned fault has happened.

    Args:
        fault: its name.
        do: what was done.
        unit: to whom; `start` and `pid` tell the process, 0 where it is not a process.
        key: of the probe that it happened at.
        facts: what else is worth keeping, as metadata.
    """
    meta = {"do": do, "unit": unit, **facts}
    return RunnerEvent(FAULTS, fault, key=key, meta=meta, start=start, pid=pid, owner="")


def made_event(seen: RunnerEvent, *, domain: str, attempt: int) -> Reading:
    """The event as it is stored; it is numbered then.

    Args:
        domain: the clock of now.
        attempt: counts the starts of the circuit from 1.

    Raises:
        BadLineError: it is not a probe.
    """
    fields = {"step": seen.step, "type": str(seen.type), "key": seen.key, "meta": dict(seen.meta)}
    checked = check_fields(fields)
    event = Event(
        id=0,
        unit=seen.unit,
        step=seen.step,
        type=checked.type,
        key=seen.key,
        cause=(),
        t_ns=time.monotonic_ns(),
        t_low_ns=seen.t_low_ns,
        wall_ns=time.time_ns(),
        domain=domain,
        pid=seen.pid,
        seq=None,
        start=seen.start,
        attempt=attempt,
        owner=seen.unit if seen.owner is None else seen.owner,
        meta=checked.meta,
    )
    return event, None, checked.meta_json


#: Lines of short files per turn of the loop: 2 ms of work.
TURN = 100

#: Turns of the loop from one batch of a long file to the next. A process that asks something
#: connects, is accepted, asks and gets its answer in them: else each step would wait for a batch.
TURNS_BETWEEN = 5

T = TypeVar("T")

Subscriber = Callable[[tuple[Event, ...]], None]


class Recorder:
    """Stores the probes of one group's run, in the event loop of the runner.

    It reads probe files when they grow, one bounded batch per turn of the loop, so a burst of
    one unit holds up no other, and keeps no events in memory.

    The first InfraError (a full disk, a deleted Data.db) is the last thing that happens: every
    wait and every later call raises it. The probe files stay the truth; `testrium.record.store`
    reads what was not stored.
    """

    def __init__(self, database: Path, domain: str) -> None:
        """`domain` is the clock of times that name no other. Nothing is opened yet."""
        self.database = database
        self._domain = domain
        self._attempt = 1
        self._failure: InfraError | None = None
        self._pending = Pending()
        self._subscribers: list[Subscriber] = []
        self._files: dict[str, ProbeFile] = {}
        self._dirty: dict[ProbeFile, None] = {}  # what has grown, in that order
        self._long: dict[ProbeFile, None] = {}  # of these, what takes several turns
        self._made: list[Reading] = []  # events of the runner itself, not stored yet
        self._made_damages: list[DamageFields] = []
        self._turn: asyncio.Handle | None = None
        self._read_until: float | None = None  # time of the loop

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # Life -------------------------------------------------------------------------------------

    def open(self) -> None:
        """Make the store, in the running event loop. Raises InfraError."""
        self._loop = asyncio.get_running_loop()
        self._store = Store(self.database)
        opened = [time.monotonic_ns(), time.time_ns()]
        self._store.owe_meta({"domain": self._domain, "opened": opened})  # the first file needs it
        self._watching = Watching(self._mark, self._loop)

    async def close(self) -> None:
        """Store what is there, the last lines included, and let go of everything.

        Raises InfraError where that fails (again).
        """
        try:
            if self._failure is None:
                for path, file in tuple(self._files.items()):
                    if not file.rests or file.has_grown() or file.is_displaced():
                        await self.finish(path)
                self.check_files()
                if self._has_unread():
                    self.store_meta(unread=True)
        finally:
            if self._turn is not None:
                self._turn.cancel()
            self._watching.close()
            for file in self._files.values():
                file.close()
            self._pending.fail(InfraError("the group's run has ended"))
            with contextlib.suppress(InfraError) if self._failure else contextlib.nullcontext():
                self._store.close()

    def new_attempt(self, attempt: int) -> None:
        """The circuit starts again: events of files of earlier attempts answer no wait any more."""
        self._attempt = attempt
        self.store_meta(attempt=attempt)

    # Probe files ------------------------------------------------------------------------------

    def watch(
        self,
        unit: str,
        start: int,
        attempt: int,
        path: Path,
        started_ns: int | None = None,
        far: str | None = None,
    ) -> None:
        """Read this probe file from now on; it is made if it does not exist.

        Args:
            unit: whose file it is.
            start: counts the starts of the unit from 1.
            attempt: counts the starts of the circuit from 1.
            path: a file of its own for every start.
            started_ns: nothing in the file is older; by default it is now.
            far: the clock of the host where it is written, where that is another one.
        """
        self._check()
        low_ns = time.monotonic_ns() if started_ns is None else started_ns
        try:
            file = ProbeFile(
                str(path),
                unit,
                domain=self._domain,
                start=start,
                attempt=attempt,
                low_ns=low_ns,
                quick=True,
            )
        except OSError as error:
            raise self._fail(InfraError(f"cannot read {path}: {error}")) from error
        if far is not None:
            file.come_from(far)
        self._files[file.path] = file
        self._store.add_file(file)
        self._watching.add(file)
        self._schedule()

    async def sync(self) -> None:
        """Store all that was written before this call, as far as the kernel tells.

        Raises InfraError.
        """
        self._check()
        self._watching.look()
        await self._read_up_to({file: file.size() for file in (*self._dirty, *self._long)})

    async def finish(self, path: Path | str) -> None:
        """The process of this file has ended: store all of it, a last line without newline too.

        The file is watched on: what that process started may still write.

        Raises InfraError.
        """
        file = self._files[str(path)]
        await self._read_up_to({file: file.size()})
        if self._is_late():
            return
        rest = self._read(file, rest=True)
        self._store_batches([(file, rest)])
        if rest.more:  # it was written over: from its beginning on there is more
            await self._read_up_to({file: file.size()})

    def hurry(self, limit_s: float) -> None:
        """Read only until a deadline from now on; the rest stays in the files.

        `store.recover` reads it when somebody looks at the run again.
        """
        if self._read_until is None:
            self._read_until = self._loop.time() + limit_s

    def _is_late(self) -> bool:
        return self._read_until is not None and self._loop.time() >= self._read_until

    def _has_unread(self) -> bool:
        return self._is_late() and any(file.offset < file.size() for file in self._files.values())

    def check_files(self) -> None:
        """Every process has ended: note what was done to probe files besides appending to them."""
        for file in self._files.values():
            self._made_damages += file.read_end()
        self._store_batches([])

    def rest(self, path: Path | str) -> None:
        """Close the descriptor of this file: its writers have ended.

        It is opened again if somebody does nevertheless.
        """
        if (file := self._files.get(str(path))) is not None:
            file.close()

    # Events -----------------------------------------------------------------------------------

    def subscribe(self, callback: Subscriber) -> None:
        """Call back with every batch of events, as soon as it is stored."""
        self._subscribers.append(callback)

    async def wait_for(
        self, unit: str, step: str, key: str | None = None, *, start: int | None = None
    ) -> Event:
        """The first event of `unit` at `step` (`*` is any), stored already or still to come.

        Args:
            unit, step, key: what is waited for, in the attempt that is current; without a key any
                will do.
            start: only of this start of the unit.

        Raises:
            InfraError: the recorder failed, or was closed.
        """
        answered: asyncio.Future[Event] = self._loop.create_future()

        def answer(event: Event | InfraError) -> None:
            if answered.done():
                return
            if isinstance(event, InfraError):
                answered.set_exception(event)
            else:
                answered.set_result(event)

        wait = self.ask(unit, step, key, answer, start=start)
        try:
            return await answered
        finally:
            if wait is not None:
                self._pending.remove(wait)

    def ask(
        self,
        unit: str,
        step: str,
        key: str | None,
        answer: Answer,
        *,
        start: int | None = None,
        attempt: int | None = None,
    ) -> Wait | None:
        """As `wait_for`, with a callback; None when it was answered at once.

        The caller takes a wait that it gives up back with `withdraw`.
        """
        event = self.find(unit, step, key, start=start, attempt=attempt)
        if event is not None:
            answer(event)
            return None
        wait = Wait(unit, step, key, start, attempt, answer)
        self._pending.add(wait)
        return wait

    def withdraw(self, wait: Wait) -> None:
        """Withdraw this wait."""
        self._pending.remove(wait)

    def find(
        self,
        unit: str,
        step: str,
        key: str | None = None,
        *,
        start: int | None = None,
        attempt: int | None = None,
    ) -> Event | None:
        """The first such event that is stored. Raises InfraError."""
        self._check()
        return self._guard(
            lambda: self._store.find(unit, step, key, start, attempt or self._attempt)
        )

    def add_event(self, seen: RunnerEvent) -> None:
        """An event that the runner saw or made, see `testrium.record.recorder`.

        It is stored in the next turn of the loop. Anything else (an empty key) becomes a damage.
        """
        self._check()
        try:
            self._made.append(made_event(seen, domain=self._domain, attempt=self._attempt))
        except BadLineError as error:
            shown = shown_line(seen.line.encode(errors="backslashreplace"))
            self._made_damages.append((seen.unit, f"log probe: {error}", shown, self._attempt))
        self._schedule()

    def add_copies(self, events: Iterable[Event]) -> None:
        """Events that another recorder has stored, as they are, in the attempt of this one.

        They are stored in the next turn of the loop.
        """
        self._check()
        for event in events:
            cause = json.dumps(event.cause) if event.cause else None
            meta = json.dumps(dict(event.meta)) if event.meta else None
            self._made.append((event._replace(attempt=self._attempt), cause, meta))
        self._schedule()

    def add_damage(self, unit: str, reason: str) -> None:
        """Evidence of this unit was damaged."""
        self._made_damages.append((unit, reason, "", self._attempt))
        self._schedule()

    def add_fault(self, seen: RunnerEvent) -> None:
        """The event that a planned fault has happened, see `testrium.record.recorder.injected`."""
        self.store_meta(faults=True)
        self.add_event(seen)

    # Other evidence ---------------------------------------------------------------------------

    def set_status(self, unit: str, state: UnitState | str, *, at_once: bool = False) -> None:
        """Store it in the next turn of the loop, or now. Raises InfraError, as all that follow."""
        self._check()
        self._store.set_status(unit, str(state))
        if at_once:
            self._guard(self._store.settle)
        else:
            self._schedule()

    def add_result(self, row: tuple[Any, ...]) -> None:
        """See `Store.add_result`."""
        self._guard(lambda: self._store.add_result(row))

    def store_results(
        self, ends: Iterable[End], tests: Iterable[TestResult], **values: Any
    ) -> None:
        """Keep these ends and results, in the place of earlier ones, and values as `store_meta`."""
        self._guard(lambda: self._store.store_results(ends, tests, values))

    def owe_results(self, ends: Iterable[End], tests: Iterable[TestResult], **values: Any) -> None:
        """The same with the next that is stored: at the end of the recording at the latest."""
        self._check()
        self._store.owe_results(ends, tests, values)

    def add_samples(self, samples: Iterable[Sample]) -> None:
        """Keep what a unit used."""
        self._guard(lambda: self._store.add_samples(samples))

    def store_meta(self, **values: Any) -> None:
        """Fields of `Evidence`: attempt, started_ns, ended_ns, infra, interrupted, ..."""
        self._guard(lambda: self._store.store_meta(values))

    def owe_meta(self, **values: Any) -> None:
        """The same with the next that is stored: at the end of the recording at the latest."""
        self._check()
        self._store.owe_meta(values)

    # Turns of the loop ------------------------------------------------------------------------

    def _mark(self, file: ProbeFile) -> None:
        if file not in self._long:
            self._dirty[file] = None
        self._schedule()

    def _schedule(self, between: int = 0) -> None:
        if self._turn is None and self._failure is None:
            self._turn = self._loop.call_soon(self._take_turn, between)

    def _take_turn(self, between: int) -> None:
        """Store one batch of what was written; errors go to the waiting callers.

        Long files have to wait for `between` more turns.
        """
        self._turn = None
        with collector_paused():
            self._take_batch(between)

    def _take_batch(self, between: int) -> None:
        """Read short files before long ones: a process may wait for their events."""
        batches: list[tuple[ProbeFile, Batch]] = []
        count = 0
        try:
            while self._dirty and count < TURN and not self._is_late():
                count += self._take_from(self._dirty, batches)
            more = any(batch.more for _, batch in batches)
            if self._long and not more and not between and not self._is_late():
                self._take_from(self._long, batches)
                more = True
            self._store_batches(batches)
        except InfraError:
            return  # `_fail` has told everybody
        except OSError as error:  # of what follows events: too few descriptors to import it
            self._fail(InfraError(f"cannot follow events: {error}"))
            return
        if (self._dirty or self._long) and not self._is_late():
            self._schedule(TURNS_BETWEEN if more else max(0, between - 1))

    def _take_from(
        self, queue: dict[ProbeFile, None], batches: list[tuple[ProbeFile, Batch]]
    ) -> int:
        """Read the next batch of the first file in a queue; how many lines that were."""
        file = next(iter(queue))
        del queue[file]
        batch = self._read(file, sum(len(batch.readings) for _, batch in batches))
        batches.append((file, batch))
        if batch.more:
            self._long[file] = None
        return len(batch.readings) + len(batch.damages)

    async def _read_up_to(self, sizes: dict[ProbeFile, int]) -> None:
        """Wait until each file is stored up to its mark, or all of its whole lines are."""
        self._check()
        for file, size in sizes.items():
            if file.offset < size:
                self._mark(file)
        for file, size in sizes.items():
            while (
                file.offset < size
                and (file in self._dirty or file in self._long)
                and not self._is_late()
            ):
                await asyncio.sleep(0)
                self._check()
        self._store_batches([])

    def _read(self, file: ProbeFile, ahead: int = 0, *, rest: bool = False) -> Batch:
        """The next batch of a file; `ahead` counts what was read in this turn already."""
        first_id = self._store.next_id + len(self._made) + ahead
        try:
            return file.read_rest(first_id) if rest else file.read(first_id)
        except OSError as error:
            raise self._fail(InfraError(f"cannot read {file.path}: {error}")) from error

    def _store_batches(self, batches: list[tuple[ProbeFile, Batch]]) -> None:
        """Store what was read and made, then tell about it."""
        readings = self._numbered_made()
        damages, self._made_damages = self._made_damages, []
        metrics: list[MetricFields] = []
        for _, batch in batches:
            readings += batch.readings
            damages += batch.damages
            metrics += batch.metrics
        if not (readings or damages or metrics):
            self._guard(self._store.settle)
            return
        events = self._guard(
            lambda: self._store.append(readings, damages, [file for file, _ in batches], metrics)
        )
        if events:
            self._pending.feed(events, self._attempt)
            for callback in self._subscribers:
                callback(events)

    def _numbered_made(self) -> list[Reading]:
        made, self._made = self._made, []
        first_id = self._store.next_id
        return [
            ((first_id + position, *fields[1:]), cause, meta)
            for position, (fields, cause, meta) in enumerate(made)
        ]

    # Errors -----------------------------------------------------------------------------------

    def _guard(self, work: Callable[[], T]) -> T:
        """Do what needs the store; its first error ends the recording."""
        self._check()
        try:
            return work()
        except InfraError as error:
            self._fail(error)
            raise

    def _check(self) -> None:
        if self._failure is not None:
            raise InfraError(str(self._failure)) from self._failure

    def _fail(self, error: InfraError) -> InfraError:
        if self._failure is None:
            self._failure = error
            self._pending.fail(error)
        return error
