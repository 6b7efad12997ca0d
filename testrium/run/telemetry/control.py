"""The runner's side of a group's spans and log records: the process that receives them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from testrium.declared.telemetry import LogRule, SpanRule, Telemetry
from testrium.errors import InfraError
from testrium.loaded_by_name import OTLP_RECEIVER
from testrium.record.listening import listen_streams
from testrium.record.recorder import Recorder
from testrium.run.environment import EXPORT_DELAY_MS, EXPORT_DELAYS, Surroundings
from testrium.run.supervisor.client import Launch, SupervisedProcess, Supervisor
from testrium.run.telemetry import CONTROL
from testrium.words import RESERVED_UNITS

#: How long the process may take to do what it is told (seconds).
_LIMIT_S = 30.0

#: What an exporter needs for the way to here, beyond the delay (ns).
_ON_THE_WAY_NS: Final = 100_000_000

_LINE_LIMIT: Final = 1 << 22


class TelemetryReceiver:
    """The receiver of one group, from before its setup until after its last unit.

        receiver = TelemetryReceiver(surroundings, recorder, supervisor, sockets, on_failure)
        endpoint = await receiver.open()
        ...
        await receiver.close()

    `on_failure` is told when it ends otherwise than was asked for.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        recorder: Recorder,
        supervisor: Supervisor,
        sockets: Path,
        on_failure: Callable[[str], None],
    ) -> None:
        self._surroundings = surroundings
        self._scenario = surroundings.scenario
        declared = self._scenario.group.otlp
        assert declared is not None
        self._declared: Telemetry = declared
        self._recorder = recorder
        self._supervisor = supervisor
        self._path = sockets / "otlp"
        self._on_failure = on_failure
        self._process: SupervisedProcess | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._closing = False
        self._has_failed = False
        self._count = 0
        self._delays_ns: dict[str, int] = {}
        self._seen: dict[str, Any] = {}

    async def open(self) -> str:
        """Start the process; the endpoint for exporters. Raises InfraError."""
        connected: asyncio.Future[asyncio.StreamReader] = asyncio.get_running_loop().create_future()

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writer = writer
            connected.set_result(reader)

        server, address = await listen_streams(take, self._path, _LINE_LIMIT)
        async with server:
            self._process = await self._supervisor.spawn(self._launch(address))
            reader = await self._before_end(connected)
        self._listening = asyncio.create_task(self._listen(reader))
        folder, attempt = self._surroundings.folder, 1
        names = [*(unit.name for unit in self._scenario.units), *RESERVED_UNITS]
        for unit in self._scenario.units:
            if not unit.has_process:  # its probes come from the processes of others
                self._recorder.watch(unit.name, 1, attempt, folder.telemetry(unit.name, 1))
        opened = await self._ask(
            "open",
            {
                "op": "open",
                "rules": [_told(rule, self._declared) for rule in self._declared.rules],
                "folders": {name: str(folder.unit(name)) for name in names},
            },
        )
        return f"http://127.0.0.1:{opened['port']}"

    async def begin(
        self, unit: str, start: int, attempt: int, env: Mapping[str, str], started_ns: int
    ) -> None:
        """A process of a unit is about to start. Raises InfraError."""
        path = self._surroundings.folder.telemetry(unit, start)
        self._recorder.watch(unit, start, attempt, path, started_ns)
        self._delays_ns[unit] = max(_delay_ns(env.get(name, "")) for name in EXPORT_DELAYS)
        if self._has_failed:
            return
        _, trace, span, _ = self._surroundings.traceparent(unit, start).split("-")
        await self._call("start", unit=unit, start=start, trace=trace, span=span)

    async def flush(self) -> None:
        """Let no event wait for the ancestors of its span any more."""
        if not self._has_failed and self._process is not None:
            self._seen = await self._call("flush")
            await self._recorder.sync()

    def last_batch_ns(self, units: list[str]) -> int:
        """How long the exporters of these units may keep their last batch."""
        if self._declared.linger_ns is not None:
            return self._declared.linger_ns
        delays = (self._delays_ns.get(unit, 0) + _ON_THE_WAY_NS for unit in units)
        return max(delays, default=0)

    def exporting(self, units: list[str]) -> list[str]:
        """Those of some units that have sent something, or that a rule is about by name."""
        sent = set(self._seen.get("batches", ()))
        named = {rule.at.unit for rule in self._declared.rules}
        named |= {rule.service or "" for rule in self._declared.rules}
        return [unit for unit in units if unit in sent or unit in named]

    async def close(self) -> None:
        """Take what was received, and end the process."""
        if self._process is None:
            return
        if self._process.alive and self._writer is not None and not self._has_failed:
            with contextlib.suppress(InfraError):  # it was told when it happened
                self._seen = await self._ask("finished", {"op": "finish"})
        self._closing = True
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        self._process.kill()
        with contextlib.suppress(InfraError):
            await self._process.cleared

    # The process ------------------------------------------------------------------------------

    def _launch(self, address: str) -> Launch:
        folder = self._surroundings.folder.path
        log = folder / "otlp.log"
        return Launch(
            unit="otlp",
            folder=folder,  # not the group's: what users write does not run here
            entrypoint=OTLP_RECEIVER,
            command=None,
            cwd=folder,
            env={**os.environ, CONTROL: address},
            stdout=log,
            stderr=log,
            stacks=log,
            mode=self._scenario.mode,
        )

    async def _call(self, op: str, **fields: Any) -> dict[str, Any]:
        self._count += 1
        return await self._ask(f"{self._count}", {"op": op, "id": f"{self._count}", **fields})

    async def _ask(self, answer: str, message: dict[str, Any]) -> dict[str, Any]:
        """Tell the process to do something; what it answers when it is done. Raises InfraError."""
        assert self._writer is not None
        done = self._answers[answer] = asyncio.get_running_loop().create_future()
        self._writer.write(json.dumps(message).encode() + b"\n")
        result: dict[str, Any] = await self._before_end(done)
        return result

    async def _before_end(self, done: asyncio.Future[Any]) -> Any:
        assert self._process is not None
        both: set[asyncio.Future[Any]] = {done, self._process.ended}
        await asyncio.wait(both, timeout=_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            raise InfraError("the OTLP receiver has ended or does not answer: see otlp.log")
        return done.result()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        reason = "the OTLP receiver has ended: see otlp.log"
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                message = json.loads(line)
                match message["event"]:
                    case "open" | "finished" as answer:
                        self._resolve(answer, message)
                    case "done":
                        self._resolve(message["id"], message)
                    case "failed":
                        reason = message["reason"]
                        break
        if not self._closing:
            self._fail(reason)

    def _resolve(self, answer: str, message: dict[str, Any]) -> None:
        waiting = self._answers.pop(answer, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _fail(self, reason: str) -> None:
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(InfraError(reason))
                waiting.exception()
        if not self._has_failed:
            self._has_failed = True
            self._on_failure(reason)


def _delay_ns(text: str) -> int:
    try:
        return int(float(text) * 1_000_000)
    except (ValueError, OverflowError):
        return EXPORT_DELAY_MS * 1_000_000


def _told(rule: SpanRule | LogRule, declared: Telemetry) -> dict[str, Any]:
    """A rule as the receiver is told it, see `spans.Rule`."""
    is_span = isinstance(rule, SpanRule)
    told: dict[str, Any] = {
        "is_span": is_span,
        "unit": rule.at.unit,
        "step": rule.at.step,
        "type": str(rule.type),
        "key": rule.key or declared.key,
        "service": rule.service,
        "scope": rule.scope,
        "attributes": dict(rule.attributes),
        "meta": dict(rule.meta),
    }
    if isinstance(rule, SpanRule):
        default = "start" if rule.type in ("Send", "Receive") else "end"
        at_start = (rule.when or default) == "start"
        return told | {"pattern": rule.span, "kind": rule.kind, "at_start": at_start}
    return told | {"pattern": rule.log, "severity": rule.severity}
