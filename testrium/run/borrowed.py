"""A fixture of the whole run, as one of the groups that use it sees it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from testrium.declared.units import Unit
from testrium.errors import InfraError
from testrium.evidence import End, EndCause, UnitState
from testrium.regular_files import read_regular
from testrium.run.actor import Actor
from testrium.run.sharing import Life
from testrium.run.stage import Stage

#: Bytes of each of a fixture's logs that a group's folder gets at most: the last ones.
LOG_LIMIT = 1_000_000


class Borrowed(Actor):
    """Stands for a fixture of the whole run in one group that uses it."""

    def __init__(self, unit: Unit, stage: Stage) -> None:
        super().__init__(unit, stage)
        self._shared = stage.services.fixtures[unit.file]
        self._life: Life | None = None

    @property
    def alive(self) -> bool:
        return not self.gone and self._life is not None and self._shared.is_ready(self._life)

    async def run_once(self) -> End:
        """Wait for the fixture, then until it ends or this group does not need it any more."""
        self.starts += 1
        self.was_ready = False
        self._started_ns = time.monotonic_ns()
        self._ready_ns = None
        change, listeners = self.stage.change, self._shared.listeners
        self._set_state(UnitState.STARTING)
        life = self._life = self._shared.borrow()
        sizes = {log: log.stat().st_size if log.exists() else 0 for log in self._shared.logs}
        listeners.add(change)
        try:
            while life.end is None and self._stop_cause is None:
                if not self.was_ready and self._shared.is_ready(life):
                    await self._pass_on_values()
                    self._become_ready()
                else:
                    await change.wait()
                    self.on_change(self)  # whether it is alive depends on others
        finally:
            listeners.discard(change)
            self._keep_logs(sizes)
        if life.end is None:
            return self._made_end(self._stop_cause or EndCause.STOPPED)
        if life.end.cause is EndCause.INFRA:
            raise InfraError(life.end.message)
        return life.end._replace(starts=self.starts, attempt=self.stage.attempt)

    def stop(self, cause: EndCause) -> None:
        """Do without the fixture from now on; it goes on for others."""
        super().stop(cause)
        self.stage.change.notify()

    def finish(self, end: End) -> None:
        super().finish(end)
        assert self.end is not None
        if self._life is not None and (its := self._life.end) is not None:
            self.end = self.end._replace(
                last_lines=its.last_lines, threads=its.threads, leaks=its.leaks
            )

    def _keep_logs(self, sizes: Mapping[Path, int]) -> None:
        """Copy what the fixture wrote meanwhile to where the logs of the group's units lie."""
        for log, size in sizes.items():
            with contextlib.suppress(OSError), read_regular(log) as source:
                source.seek(max(size, source.seek(0, os.SEEK_END) - LOG_LIMIT))
                copy = self.stage.folder.unit(self.name) / log.name
                copy.touch(mode=0o600)
                with copy.open("ab") as target:
                    target.write(source.read(LOG_LIMIT))

    async def _pass_on_values(self) -> None:
        """Make the probe that told its readiness an event of this group too."""
        step = self.unit.ready_event
        if step is None:
            return
        event = await self._shared.told(step)
        path = self.stage.folder.probes(self.name, self.starts)
        self.stage.recorder.watch(self.name, self.starts, self.stage.attempt, path, event.t_ns)
        line = json.dumps({"step": step, "t_ns": event.t_ns, "meta": dict(event.meta)})
        try:
            _append(path, line)
        except OSError as error:
            raise InfraError(f"cannot write {path}: {error}") from error
        await self.stage.recorder.sync()


def _append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")
