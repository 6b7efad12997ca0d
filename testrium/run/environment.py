"""The environment of a group's processes, and the values of `${...}`."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from testrium.declared.groups import Scenario
from testrium.declared.units import FIXTURE_PREFIX
from testrium.probe import environment as names
from testrium.run.folder import RunFolder
from testrium.tuples import NamedTuple
from testrium.variables import probe_field, substitute
from testrium.words import EMPTY, RESERVED_UNITS

#: How a unit of this machine is reached.
LOOPBACK = "127.0.0.1"

Ports = Mapping[str, Mapping[str, int]]  # unit -> name -> TCP port


def variable_name(text: str) -> str:
    """`text` as part of the name of an environment variable: upper case, `_` for the rest."""
    return re.sub(r"[^A-Z0-9]", "_", text.upper())


_TRACE_CONTEXT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-(?P<flags>[0-9a-f]{2})"
    r"(-.*)?"
)


def traceparent(run: str, place: str, incoming: str = "") -> str:
    """A W3C trace context: one span per process, in one trace per run.

    `incoming` is what the runner was called with: its trace continues where it is a valid one.
    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    found = _TRACE_CONTEXT.fullmatch(incoming)
    trace = found["trace"] if found else hashlib.sha256(run.encode()).hexdigest()[:32]
    span = hashlib.sha256(f"{run}/{place}".encode()).hexdigest()[:16]
    return f"00-{trace}-{span}-{found['flags'] if found else '01'}"


#: The variables with which OpenTelemetry tells what a process is.
SERVICE = "OTEL_SERVICE_NAME"
RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"

#: The variables for how long exporters gather a batch of spans and of log records, and what they
#: are where the user does not say (ms); the SDKs wait 5 s.
EXPORT_DELAYS = ("OTEL_BSP_SCHEDULE_DELAY", "OTEL_BLRP_SCHEDULE_DELAY")
EXPORT_DELAY_MS = 200

_OTHER_TARGET = re.compile(
    r"OTEL_EXPORTER_OTLP_(?:(?:TRACES|LOGS|METRICS)_\w+|HEADERS|CERTIFICATE|COMPRESSION|INSECURE)$"
)


def resource_attributes(declared: str, unit: str, start: int) -> str:
    """What a process says that it is: what the user declared, and which unit it belongs to."""
    own = f"testrium.unit={unit},testrium.start={start}"
    return f"{declared.rstrip(',')},{own}" if declared.strip(" ,") else own


@cache
def path_with_testrium(path: str) -> str:
    """`path`, on which `testrium probe` is found by every unit, however the runner was called."""
    if shutil.which("testrium", path=path):
        return path
    return os.pathsep.join((path, str(Path(sys.executable).parent)))


class Surroundings(NamedTuple):
    """What the processes of one group have in common.

    `ports` are those that units listen at. Some are reached by everybody else through a port of
    `links`. `fixture_values` are the metadata of each fixture's ready_event, once it is ready.
    """

    scenario: Scenario
    run: str
    folder: RunFolder
    ports: Ports
    socket: str
    domain: str
    links: Ports = EMPTY
    fixture_values: Mapping[str, Mapping[str, str]] = EMPTY
    #: Where the group's spans and log records are received, "" where they are not.
    otlp: str = ""
    #: By unit, how it is reached; without it, as a unit of this machine is.
    addresses: Mapping[str, str] = EMPTY
    #: What processes on another host inherit; None: what the runner has.
    inherited: Mapping[str, str] | None = None

    def environment(self, unit: str, start: int) -> dict[str, str]:
        """The variables of a process of `unit` (a declared or a reserved one).

        Later layers win: inherited, `[env]`, then Testrium's own. The unit's own `env` comes on
        top of it, see `variables`.
        """
        group = self.scenario.group
        env, inherited = self._inherited()
        lookup = self.lookup(unit, env)
        env |= {name: substitute(text, lookup) for name, text in group.env.items()}
        env |= {
            names.RUN: self.run,
            names.RUN_DIR: str(self.folder.path),
            names.GROUP: self.scenario.id,
            names.UNIT: unit,
            names.MODE: self.scenario.mode,
            names.PROBES: str(self.folder.probes(unit, start)),
            names.EVENT_DB: str(self.folder.database),
            names.SOCKET: self.socket,
            names.DOMAIN: self.domain,
            names.TRACEPARENT: self.traceparent(unit, start),
        }
        if self.otlp:
            env = self._with_telemetry(env, unit, start)
        for name in (names.UPDATE_GOLDEN, names.DEBUG):
            if name in inherited:
                env[name] = inherited[name]
        if self.inherited is None and (measured_by := inherited.get(names.COVERAGE)) is not None:
            env |= {names.COVERAGE: measured_by, "COVERAGE_PROCESS_START": measured_by}
            env.pop("COVERAGE_PROCESS_CONFIG", None)  # of a measurement of Testrium; it would win
        env |= {
            f"TESTRIUM_{variable_name(name)}": value for name, value in self.scenario.values.items()
        }
        if any(fault.do == "clock" and fault.unit == unit for fault in group.faults):
            from testrium.run.clocks import clock_environment

            declared = next(one for one in self.scenario.units if one.name == unit)
            env |= clock_environment(declared, self.folder.clock(unit), env)
        if encodings := [
            f"{one.name}={one.encoding}" for one in self.scenario.units if one.encoding != "utf-8"
        ]:
            env[names.ENCODINGS] = "\n".join(encodings)
        for name in (names.FAILPOINTS, names.POINTS, names.GENERATED):
            env.pop(name, None)  # of a run that this one is a part of
        env |= self._explored(unit)
        for owner, ports in self.ports_for(unit).items():
            for name, port in ports.items():
                env[_port_variable(owner, name)] = str(port)
        for owner, address in self.addresses.items():
            env[f"TESTRIUM_ADDRESS_{variable_name(owner)}"] = address
        for owner, values in self.fixture_values.items():
            prefix = f"TESTRIUM_{variable_name(owner)}_VALUE_"
            env |= {prefix + variable_name(name): value for name, value in values.items()}
        for name, port in self.ports.get(unit, {}).items():
            env[f"TESTRIUM_PORT_{variable_name(name)}"] = str(port)
        return env

    def _with_telemetry(self, env: Mapping[str, str], unit: str, start: int) -> dict[str, str]:
        """The same for a process whose spans go to the group's receiver.

        What the runner's own environment says for one signal would win over what is said for all:
        it is left out. What `[env]` says stays.
        """
        group = self.scenario.group
        changed = {
            name: value
            for name, value in env.items()
            if not _OTHER_TARGET.match(name) or name in group.env
        }
        changed |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            SERVICE: unit,
            RESOURCE: resource_attributes(changed.get(RESOURCE, ""), unit, start),
        }
        for name in EXPORT_DELAYS:
            changed.setdefault(name, str(EXPORT_DELAY_MS))
        if group.otlp is not None and group.otlp.keys_by_trace:
            changed.pop(names.TRACEPARENT, None)
            changed.pop("TRACESTATE", None)
        return changed

    def traceparent(self, unit: str, start: int) -> str:
        """The trace context of a process of `unit`."""
        place = f"{self.scenario.folder_name}/{unit}/{start}"
        return traceparent(self.run, place, os.environ.get(names.TRACEPARENT, ""))

    def _inherited(self) -> tuple[dict[str, str], Mapping[str, str]]:
        """What a process inherits, and what there is on its host."""
        group = self.scenario.group
        inherited = os.environ if self.inherited is None else self.inherited
        if group.inherit_env:
            env = dict(inherited)
        else:
            env = {name: inherited[name] for name in names.MINIMAL if name in inherited}
        if self.inherited is None:
            env["PATH"] = path_with_testrium(env.get("PATH", os.defpath))
        return env, inherited

    def _explored(self, unit: str) -> dict[str, str]:
        """At which probes a process of the unit asks what to do, and its generated argument."""
        schedule = self.scenario.schedule
        failpoints = [str(fault.at) for fault in self.scenario.group.faults if fault.at is not None]
        env = {names.FAILPOINTS: "\n".join(failpoints)} if failpoints else {}
        if schedule is not None and unit not in ("setup", "teardown"):
            env[names.POINTS] = "\n".join(map(str, schedule.points))
        if self.scenario.generated:
            env[names.GENERATED] = self.scenario.generated
        return env

    def ports_for(self, unit: str) -> Ports:
        """Where `unit` finds each port: its own, and the links to those of others."""
        if not self.links:
            return self.ports
        return {
            owner: ports if owner == unit else {**ports, **self.links.get(owner, {})}
            for owner, ports in self.ports.items()
        }

    def lookup(self, unit: str, env: Mapping[str, str]) -> Callable[[str], str]:
        """The value of a reference such as `port.http`, as seen by `unit`.

        `probe.…` references are not known here: their values come with the events.

        Raises:
            KeyError: no such reference (loading has checked the names).
        """
        fixed = {
            "group.dir": str(self.scenario.group.folder),
            "run.dir": str(self.folder.path),
            "unit.dir": str(self.folder.unit(unit)),
            "mode": self.scenario.mode,
        }
        fixed |= self.scenario.values
        fixed |= {
            f"unit.{one.name}.address": self.addresses.get(one.name, LOOPBACK)
            for one in self.scenario.units
        }
        for owner, ports in self.ports_for(unit).items():
            place = owner if owner.startswith(FIXTURE_PREFIX) else f"unit.{owner}"
            fixed |= {f"{place}.port.{name}": str(port) for name, port in ports.items()}
        for name, port in self.ports.get(unit, {}).items():
            fixed[f"port.{name}"] = str(port)

        def value(reference: str) -> str:
            if reference.startswith("env."):
                return env.get(reference.removeprefix("env."), "")
            return fixed[reference]

        return value


def event_field(reference: str, scenario: Scenario) -> tuple[str, str, str] | None:
    """Unit, step and field of a `probe.UNIT.STEP.FIELD` or a `fixture.NAME.value.FIELD`.

    None where it is neither.
    """
    for unit in scenario.units:
        start = f"{unit.name}.value."
        if unit.scope and unit.ready_event is not None and reference.startswith(start):
            return unit.name, unit.ready_event, reference.removeprefix(start)
    return probe_field(reference, (*(unit.name for unit in scenario.units), *RESERVED_UNITS))


def _port_variable(owner: str, name: str) -> str:
    """The variable that tells everybody a port of a unit or of a fixture."""
    if owner.startswith(FIXTURE_PREFIX):
        return f"TESTRIUM_{variable_name(owner)}_PORT_{variable_name(name)}"
    return f"TESTRIUM_PORT_{variable_name(owner)}_{variable_name(name)}"
