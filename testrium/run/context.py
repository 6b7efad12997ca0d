"""What the units of one group share: its store, sockets, ports, logs, and its clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path, PurePath
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from testrium.declared.groups import HOST_REQUIREMENT, Scenario
from testrium.declared.units import Unit
from testrium.errors import HostError, InfraError, MissingHostError, error_text
from testrium.evidence import Event, LatePort, OpenWait
from testrium.record.recorder import Recorder
from testrium.record.waits import Endings, WaitServer
from testrium.run.change import ChangeSignal
from testrium.run.diagnostics import Diagnostics
from testrium.run.environment import Ports, Surroundings
from testrium.run.folder import RunFolder
from testrium.run.logs import Logs, OutputMarks
from testrium.run.services import RunServices
from testrium.tuples import NamedTuple
from testrium.variables import EnvValues
from testrium.words import EMPTY, FAULTS, RESERVED_UNITS

if TYPE_CHECKING:
    from testrium.record.waits import LineId, ThreadId
    from testrium.run.faults.failpoints import Injector
    from testrium.run.faults.links.control import Links
    from testrium.run.faults.points import Points
    from testrium.run.hosts.home import RemoteHost
    from testrium.run.supervisor.client import Launch, SupervisedProcess
    from testrium.run.telemetry.control import TelemetryReceiver


class GroupContext:
    """What the units of one group share. `deadline_ns` is known once the first of them starts.

    While it is `held` it has no deadline. It was not `patient` where nothing was waited for then.

    `injector` is there where a failpoint is declared, `points` where units are held at probes;
    `links` are those that the group breaks on purpose, None where it breaks none. `telemetry`
    receives spans and log records, None where the group declares no `[otlp]`.
    """

    def __init__(
        self,
        services: RunServices,
        surroundings: Surroundings,
        recorder: Recorder,
        change: ChangeSignal,
        logs: Logs,
        diagnostics: Diagnostics,
        at_probes: AtProbes,
        endings: Endings,
    ) -> None:
        self.scenario = surroundings.scenario
        self.services = services
        self.surroundings = surroundings
        self.folder = surroundings.folder
        self.recorder = recorder
        self.change = change
        self.logs = logs
        self.diagnostics = diagnostics
        self.injector, self.points = at_probes.injector, at_probes.points
        self.endings = endings
        self.env_values = EnvValues(self.scenario)
        diagnostics.hide = self.env_values.hidden
        self.links: Links | None = None
        self.telemetry: TelemetryReceiver | None = None
        self.hosts: Mapping[str, RemoteHost] = EMPTY
        #: Why a host of its units cannot be reached: nothing of the group is started then.
        self.lost_host: HostError | None = None
        self.around_hosts: Mapping[str, Surroundings] = EMPTY
        self.attempt = 1
        self.started: list[SupervisedProcess] = []
        self.late_ports: list[LatePort] = []
        self.waits: list[OpenWait] = []
        self.started_ns: int | None = None
        self.deadline_ns: int | None = None
        self.held = False
        self.patient = True

    def keep_values(self, event: Event) -> None:
        """Tell all processes from now on what a fixture has said when it became ready."""
        texts = {name: str(value) for name, value in event.meta.items()}
        values = {**self.surroundings.fixture_values, event.unit: texts}
        self.surroundings = self.surroundings._replace(fixture_values=values)

    def around(self, unit: Unit) -> Surroundings:
        """The surroundings of a unit, on its host."""
        if unit.host is None:
            return self.surroundings
        far = self.around_hosts[unit.host]
        return far._replace(fixture_values=self.surroundings.fixture_values)

    async def spawn(self, unit: Unit, launch: Launch) -> SupervisedProcess:
        """Start a process of a unit, on its host. Raises what `Supervisor.spawn` does."""
        if unit.host is None:
            return await self.services.supervisor.spawn(launch)
        host = self.hosts[unit.host]
        return await host.spawn(host.at_home(launch, self.folder))

    def begin(self) -> None:
        """Start the group's clock, at its first unit's start."""
        if self.started_ns is None:
            self.started_ns = time.monotonic_ns()
            if not self.held:
                self.deadline_ns = self.started_ns + int(self.scenario.group.timeout_s * 1e9)

    def let_go(self, patience_s: float | None) -> None:
        """Release the group: open expectations have this time (None: the group's timeout)."""
        self.held = False
        limit_s = self.scenario.group.timeout_s if patience_s is None else patience_s
        self.deadline_ns = time.monotonic_ns() + int(limit_s * 1e9)
        self.patient = limit_s > 0
        self.change.notify()


@contextlib.asynccontextmanager
async def open_context(
    scenario: Scenario, services: RunServices, folder: RunFolder, shared: Ports
) -> AsyncIterator[tuple[GroupContext, Path]]:
    """The recorder, the sockets and the ports of one group, released at the end.

    Args:
        scenario: the group, as it is run now.
        services: what it shares with the other groups of the run.
        folder: the group's, which is there already.
        shared: the ports of fixtures of the whole run; all others are given out here.

    Returns:
        The context, and the folder of its sockets.

    Raises:
        InfraError: the store cannot be made.
    """
    units = (*(unit.name for unit in scenario.units), *RESERVED_UNITS)
    change = ChangeSignal()
    with services.sockets.lease() as sockets, _leased_ports(scenario, services) as (ports, links):
        async with (
            Recorder(folder.database, services.domain) as recorder,
            _at_probes(scenario, recorder, folder, change) as at_probes,
            WaitServer(
                recorder,
                sockets / "waits",
                at_probes.reached if any(at_probes) else None,
                {*units, FAULTS},
            ) as server,
            Logs() as logs,
        ):
            surroundings = Surroundings(
                scenario,
                services.run,
                folder,
                {**ports, **shared},
                server.address,
                services.domain,
                links,
            )
            group = scenario.group
            diagnostics = Diagnostics(folder, group.folder, enabled=group.diagnostics)
            outputs = OutputMarks(folder, units)
            recorder.subscribe(outputs.see)
            outputs.watch(_searched(scenario))
            context = GroupContext(
                services,
                surroundings,
                recorder,
                change,
                logs,
                diagnostics,
                at_probes,
                server.endings,
            )
            with outputs:
                async with _with_hosts(context):
                    yield context, sockets
            _keep_marks(context, outputs)


@contextlib.contextmanager
def _leased_ports(scenario: Scenario, services: RunServices) -> Iterator[tuple[Ports, Ports]]:
    """Ports for the units of the group itself, and for the links to those that have any."""
    linked = scenario.linked_ports
    own = [
        unit
        for unit in scenario.units
        if unit.scope != "run" and unit.host is None and unit.name not in services.kept
    ]
    count = sum(len(unit.ports) for unit in own)
    lease = services.ports.allocate(count + sum(map(len, linked.values())))
    try:
        numbers = iter(lease.ports)
        ports = {unit.name: {n: next(numbers) for n in unit.ports} for unit in own if unit.ports}
        links = {unit: {name: next(numbers) for name in linked[unit]} for unit in linked}
        yield ports, links
    finally:
        lease.release()


@contextlib.asynccontextmanager
async def _with_hosts(context: GroupContext) -> AsyncIterator[None]:
    """Let units run on other hosts, where some do; at the end nothing is left there."""
    if all(unit.host is None for unit in context.scenario.units):
        yield
        return
    from testrium.run.hosts.home import joined_hosts

    async with joined_hosts(context.surroundings, context.folder) as joined:
        if isinstance(joined, HostError):
            group = context.scenario.group
            if f"{HOST_REQUIREMENT}{joined.host}" in group.requires and not context.scenario.strict:
                raise MissingHostError(joined.host, joined.reason, joined.place)
            context.lost_host = joined
        else:
            context.surroundings, context.hosts, context.around_hosts = joined
        yield
    clocks = {
        host.domain: {"host": host.name, "readings": host.readings}
        for host in context.hosts.values()
        if host.domain != context.services.domain
    }
    if clocks:
        with contextlib.suppress(InfraError):  # told already
            context.recorder.store_meta(clocks=clocks)


def _keep_marks(context: GroupContext, outputs: OutputMarks) -> None:
    """Store how far the outputs had come at each event, and which of them were swapped."""
    outputs.look()
    recorder = context.recorder
    with contextlib.suppress(InfraError):  # told already; and only a report draws it
        recorder.owe_meta(outputs=outputs.marks)
    for unit, done in outputs.swapped:  # what was in it is not known any more
        if unit in _searched(context.scenario):
            recorder.add_damage(unit, f"{done} while it was in use")


def _searched(scenario: Scenario) -> set[str]:
    """The units in whose logs something must not stand."""
    return {check.log for check in scenario.group.checks if check.lacks and check.log}


class AtProbes(NamedTuple):
    """What may happen to a process behind a probe: something is broken, or it is held."""

    injector: Injector | None
    points: Points | None

    async def reached(self, place: str, line: LineId, thread: ThreadId) -> dict[str, Any]:
        """What the process has to do behind this line, once it may go on."""
        answer: dict[str, Any] = {"over": self.points is None, "acts": []}
        if self.injector is not None:
            answer |= await self.injector.reached(place, line, thread)
        if self.points is not None:
            await self.points.hold(place, line, thread)
            answer["over"] = False
        return answer


@contextlib.asynccontextmanager
async def _at_probes(
    scenario: Scenario, recorder: Recorder, folder: RunFolder, change: ChangeSignal
) -> AsyncIterator[AtProbes]:
    """The handlers of failpoints and of points at which units are held, if any."""
    injector, points = None, None
    if any(fault.at is not None for fault in scenario.group.faults):
        from testrium.run.faults.failpoints import Injector

        injector = Injector(scenario.group.faults, recorder, folder.probes, change)
    if scenario.schedule is not None:
        from testrium.run.faults.points import Points

        names = tuple(unit.name for unit in scenario.units)
        points = Points(scenario.schedule, names, recorder)
    try:
        yield AtProbes(injector, points)
    finally:
        if points is not None:
            points.release()
        if injector is not None:
            await injector.close()


def defect(error: Exception) -> str:
    """The message about an unforeseen exception, with its origin."""
    last = extract_tb(error.__traceback__)[-1]
    place = f"{PurePath(last.filename).name}:{last.lineno}"
    return f"a defect of Testrium: {error_text(error)} ({place})"
