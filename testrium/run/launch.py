"""From a declared unit to what the supervisor starts: values filled in, readiness as a wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from testrium.declared.units import Readiness, Unit
from testrium.errors import TestriumError
from testrium.evidence import Event
from testrium.probe import environment
from testrium.record.recorder import Recorder
from testrium.run.context import GroupContext
from testrium.run.environment import (
    RESOURCE,
    Surroundings,
    event_field,
    resource_attributes,
    texts_of,
)
from testrium.run.folder import RunFolder
from testrium.run.readiness import (
    ask_once,
    line_before_ready,
    local_port,
    port_taken,
    wait_line,
    wait_until,
)
from testrium.run.supervisor.client import Launch, SupervisedProcess
from testrium.suites import protocol
from testrium.system.platform import system
from testrium.tuples import NamedTuple
from testrium.variables import references, substitute
from testrium.words import RESERVED_UNITS

#: Characters of what a plugin raised that are told at most.
_MOST_RAISED = 1000


class UnresolvedError(TestriumError):
    """A `${probe.…}` value was not emitted in time."""


class Values(NamedTuple):
    """What one start of a unit is given: its environment, and the value of every reference."""

    env: dict[str, str]
    lookup: Callable[[str], str]


def values_of(
    unit: Unit, surroundings: Surroundings, start: int, probes: Mapping[str, str]
) -> Values:
    """The values for one start of `unit`; those of `probes` come from `probe_values`."""
    env = surroundings.environment(unit.name, start)
    fixed = surroundings.lookup(unit.name, env)

    def lookup(reference: str) -> str:
        return probes[reference] if reference in probes else fixed(reference)

    env |= {name: substitute(text, lookup) for name, text in unit.env.items()}
    if surroundings.otlp and RESOURCE in unit.env:
        env[RESOURCE] = resource_attributes(env[RESOURCE], unit.name, start)
    if unit.kind is not None:
        env |= _suite_variables(unit, surroundings, lookup)
    if (marker := conclusion_marker(unit, surroundings.folder, start)) is not None:
        env[environment.CONCLUDED] = str(marker)
    return Values(env, lookup)


def conclusion_marker(unit: Unit, folder: RunFolder, start: int) -> Path | None:
    """The file that shows that a process has concluded; None where this is not required.

    Test functions, suites and setup.py are asked: one that calls `os._exit(0)` half-way has not
    done what it is there for, whatever its exit code.
    """
    if unit.name not in RESERVED_UNITS and unit.kind not in ("pytest", "unittest", "doctest"):
        return None
    return folder.unit(unit.name) / f"concluded-{start}"


def _suite_variables(
    unit: Unit, surroundings: Surroundings, lookup: Callable[[str], str]
) -> dict[str, str]:
    """The variables for the process of a suite."""
    folder = surroundings.scenario.group.folder
    variables = protocol.environment(
        (str(folder / substitute(path, lookup)) for path in unit.paths),
        (substitute(text, lookup) for text in unit.args),
        (
            (step.name, substitute(step.do, lookup), substitute(step.expect, lookup))
            for step in unit.steps
        ),
    )
    variables[protocol.FOLDER] = str(surroundings.folder.unit(unit.name))
    if unit.kind == "manual":
        variables |= terminal_variables()
    return variables


def launch_of(unit: Unit, surroundings: Surroundings, values: Values) -> Launch:
    """What to start for `unit`, with every `${...}` replaced."""
    folder, lookup = surroundings.folder, values.lookup
    code = unit.folder or surroundings.scenario.group.folder
    cwd = code / substitute(unit.cwd, lookup) if unit.cwd else code
    command = unit.command
    return Launch(
        unit=unit.name,
        folder=code,
        entrypoint=unit.entrypoint,
        command=tuple(substitute(word, lookup) for word in command) if command else None,
        cwd=cwd,
        env=values.env,
        stdout=folder.stdout(unit.name),
        stderr=folder.stderr(unit.name),
        stacks=folder.stacks(unit.name),
        mode=surroundings.scenario.mode,
        stop_signal=unit.stop_signal,
        stop_to=unit.stop_to,
        grace_s=unit.grace_s,
        may_leave=unit.may_leave,
        deadline_ns=None,
        own_interpreter="FAKETIME_TIMESTAMP_FILE" in values.env,
    )


def awaited(unit: Unit) -> str | None:
    """What makes the unit ready, in words; None if it is ready once it runs."""
    if unit.ready_event is not None:
        return f"probe {unit.ready_event!r}"
    return " and ".join(ready.plugin or ready.kind for ready in unit.ready) or None


def not_ready(unit: Unit, folder: RunFolder) -> str:
    """Why it is not: no sign of it came, or the plugin that is asked raised something at last."""
    if plugin := next((ready.plugin for ready in unit.ready if ready.plugin), None):
        from testrium.plugins.in_unit import RAISED
        from testrium.system.files import read_regular

        with contextlib.suppress(OSError), read_regular(folder.unit(unit.name) / RAISED) as file:
            if raised := file.read(_MOST_RAISED).decode(errors="replace"):
                return f"{plugin} raised {raised}"
    return f"no {awaited(unit)}"


async def ready_condition(
    unit: Unit,
    values: Values,
    recorder: Recorder,
    start: int,
    process: SupervisedProcess,
    on_try: Callable[[str], None],
) -> None:
    """Wait until the unit's own condition for readiness holds.

    `on_try` is told in words what the last try came to, where there are tries.
    """
    if unit.ready_event is not None:
        await recorder.wait_for(unit.name, unit.ready_event, start=start)
    for ready in unit.ready:  # one that holds may fail again, as a health check may: it held
        await wait_until(_filled(ready, values.lookup), process, on_try, encoding=unit.encoding)


async def error_line(unit: Unit, values: Values, process: SupervisedProcess) -> str:
    """The first line of its output that a `ready.error` of the unit matches."""
    return await wait_line(_error_pattern(unit, values), process, unit.encoding)


def error_before_ready(unit: Unit, values: Values, process: SupervisedProcess) -> str:
    """A line that a `ready.error` matches and that the unit wrote before it was ready, or "".

    Both may stand in the output before anybody looks. Where only lines make the unit ready, what
    comes behind them in one log does not count.

    Raises InfraError: a pattern takes too long, or a log cannot be read.
    """
    if not any(ready.error for ready in unit.ready):
        return ""
    filled = [_filled(ready, values.lookup) for ready in unit.ready]
    by_lines = unit.ready_event is None and all(ready.kind == "log" for ready in filled)
    patterns = tuple(ready.target for ready in filled) if by_lines else ()
    return line_before_ready(_error_pattern(unit, values), patterns, process, unit.encoding)


def _error_pattern(unit: Unit, values: Values) -> str:
    patterns = [substitute(ready.error, values.lookup) for ready in unit.ready if ready.error]
    return "|".join(f"(?:{pattern})" for pattern in patterns)


async def check_ports(unit: Unit, values: Values, context: GroupContext) -> None:
    """See that no stranger listens at a port that the unit's readiness asks for.

    Who answers there would not be the unit. Other units of the group may, and fixtures of the run.

    Raises:
        UnresolvedError: another process does; says which.
    """
    if unit.host is not None:
        await _check_far_ports(unit, values, context)
        return
    ports = [await port_taken(_filled(ready, values.lookup)) for ready in unit.ready]
    for port in dict.fromkeys(port for port in ports if port is not None):
        from testrium.system import processes

        fixtures = (one.started for one in context.services.fixtures.values())
        own = {
            pid
            for process in chain(context.started, *fixtures)
            if process.pid is not None
            for pid in system.unit_pids(process.pid, process.keeper)
        }
        strangers = processes.listeners(port) - own
        if not strangers:
            continue
        known = next((pid for pid in strangers if pid is not None), None)
        who = "" if known is None else f": pid {known}, {processes.command_line(known)}"
        raise UnresolvedError(
            f"another process listened at port {port} before the unit started{who}"
        )


async def _check_far_ports(unit: Unit, values: Values, context: GroupContext) -> None:
    """The same on another host, where the process cannot be named."""
    assert unit.host is not None
    wanted = [local_port(_filled(ready, values.lookup)) for ready in unit.ready]
    if not any(wanted):
        return
    host = context.hosts[unit.host]
    others = {
        port
        for one in context.scenario.units
        if one.host == unit.host and one.name != unit.name
        for port in context.surroundings.ports.get(one.name, {}).values()
    }
    taken = set((await host.ask("listening"))["ports"] or ()) - others
    for port in filter(None, wanted):
        if port in taken:
            raise UnresolvedError(
                f"another process listened at port {port} of host {unit.host} before the unit"
                " started"
            )


async def ready_at_its_end(unit: Unit, values: Values, process: SupervisedProcess) -> bool:
    """Whether the unit's conditions hold now that its process has ended."""
    if not unit.ready or any(ready.plugin for ready in unit.ready):
        return False
    for ready in unit.ready:
        if await ask_once(_filled(ready, values.lookup), process, unit.encoding):
            return False
    return True


def _filled(ready: Readiness, lookup: Callable[[str], str]) -> Readiness:
    command = tuple(substitute(word, lookup) for word in ready.command)
    if ready.kind == "ended":
        return ready
    if ready.kind == "command":
        return replace(ready, command=command)
    target: dict[str, Any] = {str(ready.kind): substitute(ready.target, lookup)}
    return replace(ready, **target)


def wanted_probes(unit: Unit) -> set[str]:
    """The `${probe.UNIT.STEP.FIELD}` and `${fixture.NAME.value.FIELD}` in the unit's texts."""
    return {
        reference
        for text in texts_of(unit)
        if "${probe." in text or "${fixture." in text
        for reference in references(text)
        if reference.startswith("probe.") or ".value." in reference
    }


async def probe_values(unit: Unit, wanted: Iterable[str], context: GroupContext) -> dict[str, str]:
    """The values of these references, as soon as all of them are known.

    Raises:
        UnresolvedError: one has no value within `ready_timeout`, or can have none any more.
    """
    values = {}
    for reference in wanted:
        place = event_field(reference, context.scenario)
        assert place is not None, "loading has seen to it"
        owner, step, field = place
        try:
            async with asyncio.timeout(unit.ready_timeout_s):
                event = await _emitted(owner, step, unit.name, context)
        except TimeoutError:
            raise UnresolvedError(
                f"${{{reference}}}: no probe {owner}:{step} within {unit.ready_timeout_s:g} s"
            ) from None
        if isinstance(event, str):
            raise UnresolvedError(f"${{{reference}}}: {event}, without the probe {owner}:{step}")
        if field not in event.meta:
            raise UnresolvedError(
                f"${{{reference}}}: the probe {owner}:{step} has no field {field!r}"
            )
        values[reference] = str(event.meta[field])
    return values


async def _emitted(unit: str, step: str, asker: str, context: GroupContext) -> Event | str:
    """The probe once there is one; how its unit ended, in words, once there will be none."""
    emitted = asyncio.ensure_future(context.recorder.wait_for(unit, step))
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    take_back = context.endings.ask(unit, asker, ended.set_result)
    try:
        either: set[asyncio.Future[Any]] = {emitted, ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if emitted.done():
            return emitted.result()
        await context.recorder.sync()
        return context.recorder.find(unit, step) or ended.result()
    finally:
        take_back()
        emitted.cancel()


#: Variables that the usual servers for continuous integration set.
_SERVERS = ("CI", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION", "BUILDKITE")

_OFF = ("", "0", "false", "no")


def terminal_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that tell a manual unit where to ask, or why it must not ask."""
    for name in _SERVERS:
        if environ.get(name, "").lower() not in _OFF:
            return {protocol.UNASKED: f"no person watches this run ({name} is set)"}
    try:
        if os.isatty(0) and os.isatty(1):
            return {protocol.TERMINAL: os.ttyname(0)}
    except OSError:
        pass
    return {protocol.UNASKED: "the run has no terminal"}
