"""What a group needs before its first process starts: the store, the sockets, the ports."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from testrium.declared.groups import Scenario
from testrium.errors import InfraError
from testrium.record.recorder import Recorder
from testrium.record.waits import WaitServer
from testrium.run.change import Change
from testrium.run.diagnostics import Diagnostics
from testrium.run.environment import Ports, Surroundings
from testrium.run.folder import RunFolder
from testrium.run.logs import Logs
from testrium.run.outputs import OutputMarks
from testrium.run.services import Services
from testrium.run.stage import Stage
from testrium.words import RESERVED_UNITS

if TYPE_CHECKING:
    from testrium.run.faults import Injector


@contextlib.asynccontextmanager
async def open_stage(
    scenario: Scenario, services: Services, folder: RunFolder, shared: Ports
) -> AsyncIterator[tuple[Stage, Path]]:
    """The recorder, the sockets and the ports of one group, released at the end.

    Args:
        scenario: the group, as it is run now.
        services: what it shares with the other groups of the run.
        folder: the group's, which is there already.
        shared: the ports of fixtures of the whole run; all others are given out here.

    Returns:
        The stage, and the folder of its sockets.

    Raises:
        InfraError: the store cannot be made.
    """
    # Sockets have paths of at most 107 bytes, so they cannot live in the run folder.
    sockets = Path(tempfile.mkdtemp(prefix="testrium-"))
    linked = scenario.group.linked_ports
    own = [unit for unit in scenario.units if unit.scope != "run"]
    count = sum(len(unit.ports) for unit in own)
    lease = services.ports.allocate(count + sum(map(len, linked.values())))
    try:
        numbers = iter(lease.ports)
        ports = {unit.name: {n: next(numbers) for n in unit.ports} for unit in own if unit.ports}
        links: Ports = {unit: {name: next(numbers) for name in linked[unit]} for unit in linked}
        change = Change()
        async with (
            Recorder(folder.database, services.domain) as recorder,
            _injector(scenario, recorder, folder, change) as injector,
            WaitServer(
                recorder, sockets / "waits", None if injector is None else injector.reached
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
            outputs = OutputMarks(
                folder, (*(unit.name for unit in scenario.units), *RESERVED_UNITS)
            )
            recorder.subscribe(outputs.see)
            yield (
                Stage(
                    scenario,
                    services,
                    surroundings,
                    folder,
                    recorder,
                    change,
                    logs,
                    diagnostics,
                    injector,
                    server.endings,
                ),
                sockets,
            )
            outputs.look()
            with contextlib.suppress(InfraError):  # told already; and only a report draws it
                recorder.store_meta(outputs=outputs.marks)
    finally:
        lease.release()
        shutil.rmtree(sockets, ignore_errors=True)


@contextlib.asynccontextmanager
async def _injector(
    scenario: Scenario, recorder: Recorder, folder: RunFolder, change: Change
) -> AsyncIterator[Injector | None]:
    """Who strikes at failpoints, where there are any."""
    if all(fault.at is None for fault in scenario.group.faults):
        yield None
        return
    from testrium.run.faults import Injector

    injector = Injector(scenario.group.faults, recorder, folder.probes, change)
    try:
        yield injector
    finally:
        await injector.close()
