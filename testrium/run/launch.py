"""From a declared unit to what the supervisor starts, with all values filled in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from testrium.declared.units import Unit
from testrium.errors import TestriumError
from testrium.evidence import Event
from testrium.probe import environment
from testrium.run.context import GroupContext
from testrium.run.environment import (
    RESOURCE,
    Surroundings,
    event_field,
    resource_attributes,
)
from testrium.run.folder import RunFolder
from testrium.run.supervisor.client import Launch
from testrium.suites import protocol
from testrium.tuples import NamedTuple
from testrium.variables import references, substitute
from testrium.words import RESERVED_UNITS


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


def wanted_probes(unit: Unit) -> set[str]:
    """The `${probe.UNIT.STEP.FIELD}` and `${fixture.NAME.value.FIELD}` in the unit's texts."""
    texts = (
        *(unit.command or ()),
        *unit.env.values(),
        unit.cwd or "",
        *unit.paths,
        *unit.args,
        *(text for step in unit.steps for text in (step.do, step.expect)),
        *(text for one in unit.ready for text in (one.target, *one.command, one.error or "")),
    )
    return {
        reference
        for text in texts
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
