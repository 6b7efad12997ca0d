"""One unit while its group runs: it is started, becomes ready, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from testrium.declared.units import Unit, is_accepted
from testrium.errors import HostError, InfraError
from testrium.evidence import (
    End,
    EndCause,
    Event,
    LatePort,
    Leak,
    UnitState,
    Use,
    ended_as_told,
)
from testrium.run.change import ChangeSignal
from testrium.run.context import GroupContext
from testrium.run.folder import hiding_file, last_lines
from testrium.run.launch import (
    UnresolvedError,
    Values,
    conclusion_marker,
    launch_of,
    probe_values,
    values_of,
    wanted_probes,
)
from testrium.run.log_probes import follow_logs
from testrium.run.monitor import usage_of
from testrium.run.readiness import (
    awaited,
    check_ports,
    error_before_ready,
    error_line,
    not_ready,
    ready_at_its_end,
    ready_condition,
)
from testrium.run.supervisor.client import Exit, LaunchError, SupervisedProcess
from testrium.system.platform import system
from testrium.words import EventType

#: What a shell says of a program that could not be started.
CANNOT_START = 127

#: Why a unit was not started that nothing else was in the way of.
EARLIER_END = "the group ended before this unit could start"


class RunningUnit:
    """The state of one unit. `end` is set once it is over for this attempt."""

    def __init__(self, unit: Unit, context: GroupContext) -> None:
        self.unit = unit
        self.context = context
        self.starts = 0
        self.reloads = 0
        self.state = UnitState.CREATED
        self.end: End | None = None
        self.was_ready = False
        self.process: SupervisedProcess | None = None
        self.change = ChangeSignal()  # of this unit, and when it may start
        self.on_change: Callable[[RunningUnit], None] = lambda _: None
        self._usage = usage_of(unit, context.scenario.group, context.services.pace)
        self._stop_cause: EndCause | None = None
        self._restarting = False
        self._started_ns: int | None = None
        self._ready_ns: int | None = None
        self._expected_death = False
        self._reported: asyncio.Future[Event] | None = None
        self._was_refused = False
        self._leaks: list[Leak] = []
        self._clearing: list[SupervisedProcess] = []
        context.diagnostics.add(self)

    @property
    def name(self) -> str:
        return self.unit.name

    @property
    def encoding(self) -> str:
        """The encoding of its output."""
        return self.unit.encoding

    @property
    def gone(self) -> bool:
        return self.end is not None

    @property
    def alive(self) -> bool:
        return self.process is not None

    @property
    def use(self) -> Use:
        """What it used so far, in all its starts."""
        return self._usage.so_far

    @property
    def passed_ready(self) -> bool:
        """Whether a unit that depends on this one may start."""
        return self.was_ready and (self.alive or self.gone)

    def reset(self) -> None:
        """Prepare to start in a new attempt; the count of starts continues."""
        self.end = None
        self.was_ready = False
        self._stop_cause = None
        self._set_state(UnitState.CREATED)

    def reload(self) -> None:
        """Be ready to start again in the same attempt; why its last start was stopped is over."""
        self.reloads += 1
        self._stop_cause = None

    def see(self, event: Event) -> None:
        """Take note of an event of this unit that bears on its life."""
        if event.type != EventType.EXCEPTION:
            return
        dies_of_it = event.meta.get("uncaught") == "main"
        if self.context.scenario.group.rules.allows(event.unit, event.step):
            self._expected_death |= dies_of_it
        elif not dies_of_it and self._reported is not None and not self._reported.done():
            self._reported.set_result(event)

    def ended_well(self, end: End) -> bool:
        """Whether the unit ended in an accepted way."""
        if end.cause is EndCause.SELF:
            ready = end.was_ready or awaited(self.unit) is None
            return ready and (self._accepted(end) or self._expected_death)
        if end.cause is EndCause.STOPPED:
            return ended_as_told(end, self.unit)
        return end.cause is EndCause.ABANDONED

    async def run_once(self) -> End:
        """Start the unit and wait until its process has ended.

        Raises:
            InfraError: the supervisor or the store failed.
        """
        self.starts += 1
        self.was_ready = False
        self._expected_death = False
        self._started_ns = time.monotonic_ns()
        self._ready_ns = None
        # Made before the process is: what a quick one reports may be read before spawn() returns.
        self._reported = asyncio.get_running_loop().create_future()
        self._was_refused = False
        self._set_state(UnitState.STARTING)
        if not self.unit.has_process:
            return await self._without_process()
        try:
            probes = await self._probe_values()
            if probes is None:
                why = "no probe has given the value of its ${probe...}"
                return self._made_end(self._stop_cause or EndCause.ABANDONED, message=why)
            async with self.context.services.gate:
                if self._stop_cause is not None:
                    return self._not_launched(self._stop_cause)
                values = await self._launch(probes)
        except UnresolvedError as error:
            return self._made_end(EndCause.UNREADY, message=str(error))
        except LaunchError as error:
            return self._made_end(EndCause.SELF, exit_code=CANNOT_START, message=str(error))
        assert self.process is not None, "it was launched"
        process, probe_file = self.process, self.context.folder.probes(self.name, self.starts)
        end = await self._attend(process, values)
        recorder, folder = self.context.recorder, self.context.folder
        for log in (folder.stdout(self.name), folder.stderr(self.name)):
            self.context.logs.finish(log)
        await recorder.sync()
        await recorder.finish(probe_file)
        if end.cause in (EndCause.OVERDUE, EndCause.TIMEOUT) and self._was_done():
            end = end._replace(cause=EndCause.STOPPED)
        process.cleared.add_done_callback(lambda _: recorder.rest(probe_file))
        self.process = None
        self._tell_change()
        return end

    async def _launch(self, probes: Mapping[str, str]) -> Values:
        """Start the process; what it was given."""
        recorder, surroundings = self.context.recorder, self.context.around(self.unit)
        self._started_ns = began_ns = time.monotonic_ns()
        values = values_of(self.unit, surroundings, self.starts, probes)
        if self.unit.ready:
            await check_ports(self.unit, values, self.context)
        launch = launch_of(self.unit, surroundings, values)
        if (telemetry := self.context.telemetry) is not None:
            attempt = self.context.attempt
            await telemetry.begin(self.name, self.starts, attempt, values.env, began_ns)
        file = self.context.folder.probes(self.name, self.starts)
        far = None if self.unit.host is None else surroundings.domain
        recorder.watch(self.name, self.starts, self.context.attempt, file, began_ns, far)
        follow_logs(self.unit, self.starts, self.context, values, began_ns)
        self.process = await self.context.spawn(
            self.unit, launch._replace(deadline_ns=self._deadline_ns())
        )
        self.context.started.append(self.process)
        if self.context.links is not None and self.unit.host is None:  # numbers of this machine
            self.context.links.note_process(self.name, self.process)
        if self._stop_cause is not None:  # asked while it was being started
            self.process.stop(stacks=self.context.diagnostics.wanted)
        return values

    def _not_launched(self, cause: EndCause) -> End:
        """It was asked to stop while it waited to be started."""
        self.starts -= 1
        return self._made_end(cause if self.starts else EndCause.NOTRUN, message=EARLIER_END)

    def stop(self, cause: EndCause) -> None:
        """Stop the process, if there is one, as the unit's stop_signal and grace say."""
        if self._stop_cause is None:
            self._stop_cause = cause
            self.change.notify()
            if self.process is not None:
                self.process.stop(stacks=self.context.diagnostics.wanted)

    def restart(self) -> bool:
        """Stop the process as the runner stops it; once it has ended well it starts again.

        False where there is none, or it was asked to stop for good.
        """
        if self.process is None or self._stop_cause is not None:
            return False
        self._restarting = True
        self.process.stop()
        return True

    def starts_again(self, end: End) -> bool:
        """Whether this was the end that `restart` has asked for; it is then over."""
        asked, self._restarting = self._restarting, False
        return asked and end.cause is EndCause.STOPPED and self.ended_well(end)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def finish(self, end: End) -> None:
        """`end` is final for this attempt."""
        well = self.ended_well(end)
        state = UnitState.FINISHED if well else UnitState.FAILED
        if well and end.cause in (EndCause.STOPPED, EndCause.ABANDONED):
            state = UnitState.STOPPED
        if end.cause is EndCause.NOTRUN:
            state = UnitState.CREATED
        lines: tuple[str, ...] = ()
        if not well and end.cause is not EndCause.NOTRUN:
            folder = self.context.folder
            for log in (folder.stderr(self.name), folder.stdout(self.name)):
                lines = lines or last_lines(log, encoding=self.unit.encoding)
        if lines and not end.message and self.unit.is_python:
            end = end._replace(message=hiding_file(self._code_folders(), lines))
        threads: tuple[str, ...] = ()
        if end.cause in (EndCause.OVERDUE, EndCause.TIMEOUT, EndCause.UNREADY):
            threads = self.context.diagnostics.threads(self.name)
        self.end = end._replace(state=state, last_lines=lines, threads=threads, use=self.use)
        self._set_state(state)

    def _code_folders(self) -> tuple[Path, ...]:
        """Where Python looks before its own library."""
        group = self.context.scenario.group.folder
        script = next((w for w in self.unit.command or () if w.endswith(".py")), "")
        return tuple(dict.fromkeys((self.unit.folder or group, group, (group / script).parent)))

    async def fail(self, message: str, cause: EndCause = EndCause.INFRA) -> None:
        """The runner or the machine has failed the unit: end it with nothing that may be broken."""
        if self.process is not None:
            self.process.kill()
            with contextlib.suppress(InfraError):
                await self.process.ended
            self.process = None
        self.state = UnitState.FAILED
        self.end = self._made_end(cause, message=message)
        self._tell_change()

    def not_run(self, message: str, blocked_by: str | None = None) -> None:
        self.finish(self._made_end(EndCause.NOTRUN, blocked_by=blocked_by, message=message))

    async def cleared(self) -> None:
        """Wait until nothing that any start of the unit has started is left."""
        for process in self._clearing:
            process.release()
        for process in self._clearing:
            with contextlib.suppress(HostError):  # told already; what is there ends by itself
                self._leaks.extend(await process.cleared)
        self._clearing.clear()
        if self.end is not None and self._leaks:
            self.end = self.end._replace(leaks=tuple(self._leaks))

    def _deadline_ns(self) -> int | None:
        own = self.unit.timeout_s
        candidates = [] if own is None else [time.monotonic_ns() + int(own * 1e9)]
        held = self.context.services.holds_failures
        if self.unit.stop == "self" and self.context.deadline_ns is not None and not held:
            candidates.append(self.context.deadline_ns)
        return min(candidates, default=None)

    async def _probe_values(self) -> Mapping[str, str] | None:
        """What this start gets from probes; None when it was stopped before that was known."""
        if not (wanted := wanted_probes(self.unit)):
            return {}
        resolving = asyncio.ensure_future(probe_values(self.unit, wanted, self.context))
        return await resolving if await self._came_before_stop(resolving) else None

    async def _came_before_stop(self, future: asyncio.Future[Any]) -> bool:
        """Wait for `future`; False, and it is cancelled, when the unit is asked to stop first."""
        while not future.done() and self._stop_cause is None:
            change = asyncio.ensure_future(self.change.wait())
            both: set[asyncio.Future[Any]] = {future, change}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
        if self._stop_cause is not None:
            future.cancel()
        return self._stop_cause is None

    async def _without_process(self) -> End:
        step = self.unit.ready_event
        if step is not None:
            emitted = asyncio.ensure_future(self.context.recorder.wait_for(self.name, step))
            if not await self._came_before_stop(emitted):
                return self._made_end(EndCause.UNREADY, message=f"no {awaited(self.unit)}")
        self._become_ready()
        return self._made_end(EndCause.SELF)

    async def _attend(self, process: SupervisedProcess, values: Values) -> End:
        """From the start of the process until it ends."""
        self._clearing.append(process)
        self._set_state(UnitState.STARTING)
        look = self.context.diagnostics.look_before(process.launch.deadline_ns)
        self._usage.begin(process, self.starts)
        try:
            problem = await self._wait_ready(process, values)
            if problem is not None and not process.ended.done():
                self.context.diagnostics.note(f"{self.name} {problem}")
                self.stop(EndCause.ABANDONED if self._was_reported() else EndCause.UNREADY)
            ended = await process.ended
        finally:
            if look is not None:
                look.cancel()
        if ended.infra:
            raise InfraError(f"unit {self.name}: {ended.infra}")
        if samples := await self._usage.end(ended):
            self.context.recorder.add_samples(samples)
        return self._end_of(process, ended, problem or "")

    async def _wait_ready(self, process: SupervisedProcess, values: Values) -> str | None:
        """None once the unit is ready; else why it is not, in words."""
        if awaited(self.unit) is None:
            self._become_ready()
            return None
        assert self._reported is not None, "a start has made it"
        tries: deque[str] = deque(maxlen=1)
        condition = asyncio.ensure_future(
            ready_condition(
                self.unit,
                values,
                self.context.recorder,
                self.starts,
                process,
                tries.append,
            )
        )
        timeout_s = self.unit.ready_timeout_s
        first: set[asyncio.Future[Any]] = {condition, process.ended, self._reported}
        refused: asyncio.Future[str] | None = None
        if any(ready.error for ready in self.unit.ready):
            refused = asyncio.ensure_future(error_line(self.unit, values, process))
            first.add(refused)
        try:
            done, _ = await asyncio.wait(
                first, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if condition in done:
                condition.result()
            if refused is not None and refused in done and condition not in done:
                return self._refused(refused.result())
            if condition in done or await self._emitted_ready():
                return self._ready_unless_refused(values, process)
            if self._was_reported():
                return f"reported {self._reported.result().step} before it was ready"
            if process.ended.done():
                if line := error_before_ready(self.unit, values, process):
                    return self._refused(line)
                well = is_accepted(process.ended.result().exit_code, self.unit.exit)
                if well and await ready_at_its_end(self.unit, values, process):
                    return self._ready_unless_refused(values, process)
                return f"ended before it was ready ({awaited(self.unit)})"
            why = tries[-1] if tries else not_ready(self.unit, self.context.folder)
            return f"not ready after {timeout_s:g} s: {why}"
        finally:
            condition.cancel()
            if refused is not None:
                refused.cancel()

    def _ready_unless_refused(self, values: Values, process: SupervisedProcess) -> str | None:
        """Its condition holds. The reason why it is not ready all the same, or None."""
        if line := error_before_ready(self.unit, values, process):
            return self._refused(line)
        self._become_ready()
        return None

    def _refused(self, line: str) -> str:
        self._was_refused = True
        return f"it wrote {line!r}, which ready.error matches"

    async def _emitted_ready(self) -> bool:
        """What was emitted before the end or the time limit counts, however late it is read."""
        recorder, step = self.context.recorder, self.unit.ready_event
        await recorder.sync()
        return step is not None and recorder.find(self.name, step, start=self.starts) is not None

    def _was_reported(self) -> bool:
        return self._reported is not None and self._reported.done()

    def _become_ready(self) -> None:
        self.was_ready = True
        self._ready_ns = time.monotonic_ns()
        waited = awaited(self.unit) is not None
        if waited and self.process is not None and self._stop_cause is None:
            self._watch_ports(self.process)
        self._set_state(UnitState.READY if waited else UnitState.RUNNING)

    def _watch_ports(self, process: SupervisedProcess) -> None:
        """Note whether it listens now that it has said that it is ready, and else since when."""
        ports = self.context.surroundings.ports.get(self.name, {})
        asked = any(ready.kind in ("tcp", "http") for ready in self.unit.ready)
        if not ports or asked or self.unit.host is not None:
            return
        ready_ns = self._ready_ns or time.monotonic_ns()
        if (there := system.listening_ports()) is None:
            return
        late = {name: number for name, number in ports.items() if number not in there}
        if not late:
            return

        async def watch() -> None:
            pause_s = 0.002
            try:
                while late and not process.ended.done():
                    await asyncio.sleep(pause_s)
                    pause_s = min(1.5 * pause_s, 0.05)
                    there, now_ns = system.listening_ports() or frozenset(), time.monotonic_ns()
                    for name in [name for name, number in late.items() if number in there]:
                        del late[name]
                        note(name, now_ns, now_ns)
            finally:
                for name in late:
                    note(name, time.monotonic_ns(), None)

        def note(name: str, looked_ns: int, listened_ns: int | None) -> None:
            port = LatePort(self.name, name, ready_ns, looked_ns, listened_ns)
            self.context.late_ports.append(port)

        watching = asyncio.ensure_future(watch())
        process.ended.add_done_callback(lambda _: watching.cancel())

    def _end_of(self, process: SupervisedProcess, ended: Exit, message: str) -> End:
        cause = EndCause.SELF
        if ended.overdue:
            cause = self._overdue_cause(ended)
        elif ended.stopped:
            cause = self._stop_cause or EndCause.STOPPED
        elif self._was_refused and not self._was_reported():
            cause = EndCause.UNREADY  # it ended before it could be stopped because of the line
        marker = conclusion_marker(self.unit, self.context.folder, self.starts)
        end = self._made_end(
            cause,
            pid=process.pid,
            exit_code=ended.exit_code,
            signal=ended.signal,
            ended_ns=ended.t_ns,
            message=message,
        )
        if cause is EndCause.SELF and marker is not None:
            return end._replace(concluded=marker.exists())
        return end

    def _was_done(self) -> bool:
        """Whether the unit, alive at its limit, is one that `classic = true` lets go by then."""
        scenario, find = self.context.scenario, self.context.recorder.find
        return (
            scenario.group.classic
            and scenario.is_under_classic_rule(self.unit)
            and all(find(self.name, step) is not None for step in self.unit.events)
        )

    def _overdue_cause(self, ended: Exit) -> EndCause:
        deadline = self.context.deadline_ns
        of_group = self.unit.stop == "self" and deadline is not None and ended.t_ns >= deadline
        return EndCause.OVERDUE if of_group else EndCause.TIMEOUT

    def _made_end(
        self,
        cause: EndCause,
        *,
        pid: int | None = None,
        exit_code: int | None = None,
        signal: str | None = None,
        ended_ns: int | None = None,
        message: str = "",
        blocked_by: str | None = None,
    ) -> End:
        return End(
            unit=self.name,
            cause=cause,
            state=self.state,
            pid=pid,
            exit_code=exit_code,
            signal=signal,
            starts=self.starts,
            attempt=self.context.attempt,
            was_ready=self.was_ready,
            started_ns=self._started_ns,
            ready_ns=self._ready_ns,
            ended_ns=ended_ns if ended_ns is not None else time.monotonic_ns(),
            message=message,
            blocked_by=blocked_by,
        )

    def _accepted(self, end: End) -> bool:
        if not self.unit.has_process:
            return True
        return end.concluded and end.signal is None and is_accepted(end.exit_code, self.unit.exit)

    def _set_state(self, state: UnitState) -> None:
        changed = state is not self.state
        self.state = state
        self.context.recorder.set_status(self.name, state)
        if changed:
            self.context.services.observer.unit_changed(self.context.scenario, self.name, state)
        self._tell_change()

    def _tell_change(self) -> None:
        self.on_change(self)
        self.context.change.notify()
