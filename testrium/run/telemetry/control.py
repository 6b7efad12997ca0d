"""The runner's side of a group's spans and log records: the process that receives them."""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from testrium.declared.telemetry import LogRule, SpanRule, Telemetry
from testrium.errors import InfraError
from testrium.evidence import End, EndCause, Unrecorded
from testrium.loaded_by_name import OTLP_RECEIVER
from testrium.phrases import close_to, listed, shown
from testrium.record.recorder import Recorder
from testrium.run.environment import EXPORT_DELAY_MS, EXPORT_DELAYS, SERVICE, Surroundings
from testrium.run.folder import last_lines
from testrium.run.own_process import OwnProcess, OwnProgram
from testrium.run.supervisor.client import Supervisor
from testrium.run.telemetry import CONTROL
from testrium.run.telemetry.spans import is_meant
from testrium.words import RESERVED_UNITS

#: What an exporter needs for the way to here, beyond the delay (ns).
_IN_TRANSIT_NS: Final = 100_000_000

_RECEIVER: Final = OwnProgram(
    "otlp", OTLP_RECEIVER, CONTROL, "the OTLP receiver", hint=": see otlp.log"
)


class TelemetryReceiver:
    """The receiver of one group, from before its setup until after its last unit.

        receiver = TelemetryReceiver(surroundings, recorder, supervisor, sockets, on_failure)
        endpoints = await receiver.open()
        ...
        await receiver.close()

    `on_failure` is called when it fails, or ends unasked.
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
        self._process = OwnProcess(
            _RECEIVER, supervisor, sockets, surroundings.folder.path, on_failure
        )
        self._delays_ns: dict[str, int] = {}
        self._env: dict[str, Mapping[str, str]] = {}
        self._ends: list[End] = []
        self._attempt = 1
        self._seen: dict[str, Any] = {}
        self._unknown_walls = False

    async def open(self, clocks: Iterable[str] = ()) -> dict[str, int]:
        """Start the process; the port for exporters of this machine ("") and by foreign clock.

        `clocks` are those of other hosts. Raises InfraError.
        """
        await self._process.open(self._scenario.mode)
        folder = self._surroundings.folder
        names = [*(unit.name for unit in self._scenario.units), *RESERVED_UNITS]
        for unit in self._scenario.units:
            if not unit.has_process:  # its probes come from the processes of others
                self._recorder.watch(unit.name, 1, 1, folder.telemetry(unit.name, 1))
        opened = await self._process.ask(
            "open",
            rules=[_told(rule, self._declared) for rule in self._declared.rules],
            folders={name: str(folder.unit(name)) for name in names},
            clocks=[*clocks],
        )
        ports: dict[str, int] = opened["ports"]
        return ports

    def note_wall(self, clock: str, read: tuple[int, int, int]) -> None:
        """What the wall clock of another host said between two times of its `clock`."""
        if self._process.is_open:
            self._process.tell("wall", domain=clock, read=read)
            self._unknown_walls = True

    async def told(self) -> None:
        """Wait until the process knows of all that was noted."""
        if self._unknown_walls and self._process.is_open:
            self._unknown_walls = False
            with contextlib.suppress(InfraError):  # the code that runs the group gets it too
                await self._process.ask("known")

    async def begin(
        self, unit: str, start: int, attempt: int, env: Mapping[str, str], started_ns: int
    ) -> None:
        """A process of a unit is about to start. Raises InfraError."""
        path = self._surroundings.folder.telemetry(unit, start)
        self._recorder.watch(unit, start, attempt, path, started_ns)
        self._env[unit] = env
        self._delays_ns[unit] = max(_delay_ns(env.get(name, "")) for name in EXPORT_DELAYS)
        if self._process.has_failed:
            return
        _, trace, span, _ = self._surroundings.traceparent(unit, start).split("-")
        await self._process.ask("start", unit=unit, start=start, trace=trace, span=span)

    def ended(self, end: End, attempt: int) -> None:
        """A process of a unit has ended; those of earlier attempts count no more."""
        if attempt != self._attempt:
            self._attempt, self._ends = attempt, []
        self._ends.append(end)

    def unrecorded(self) -> list[Unrecorded]:
        """What spans and log records may be missing, after the last `flush`.

        A process that was killed takes its last batch with it. One that Testrium has stopped at the
        end does so too, but it had the time to send it.
        """
        found = []
        for unit in (*(unit.name for unit in self._scenario.units), *RESERVED_UNITS):
            places = self._places_of(unit)
            if places:
                reasons = [*self._deaths(unit), *self._failures(unit), *self._refusals()]
                found += [Unrecorded(unit, reason, places) for reason in dict.fromkeys(reasons)]
        return found

    def unmatched(self) -> list[tuple[str, str]]:
        """The rules that were about no record, each with its place and a sentence why."""
        seen, found = self._seen, []
        names, strangers = seen.get("unwanted", ()), seen.get("strangers", ())
        for number, rule in enumerate(self._declared.rules):
            if str(number) in seen.get("senders", {}):
                continue
            if isinstance(rule, LogRule):
                text = f"no log record matched log = {rule.log!r}"
            else:
                text = f"no span matched span = {rule.span!r}"
                if any(fnmatch.fnmatchcase(name, rule.span) for name in names):
                    pattern = rule.span.replace("*", ".*").replace("?", ".")
                    text += f": it is a regular expression; write {pattern!r}"
                elif near := close_to(rule.span, names):
                    text += f"; did you mean {near!r}?"
                elif names:
                    text += f"; others were named {listed([shown(each) for each in names[:5]])}"
            if strangers and not rule.at.unit:
                text += (
                    f'; the service {listed(strangers)} is not a unit: write at = "UNIT:STEP"'
                    " to name the unit of the event"
                )
            found.append((str(rule.at) if rule.at.unit else rule.at.step, text))
        return found

    def _places_of(self, unit: str) -> tuple[tuple[str, str], ...]:
        """The places that spans of a unit speak for."""
        senders = self._seen.get("senders", {})
        places = {
            (rule.at.unit or unit, rule.at.step): None
            for number, rule in enumerate(self._declared.rules)
            if unit in senders.get(str(number), ())
            or (
                rule.at.unit in ("", unit)
                if rule.service is None
                else is_meant(rule.service, self._env.get(unit, {}).get(SERVICE, unit))
            )
        }
        return self._named(tuple(places))

    def _named(self, places: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Those of some places that the group asks for; all where it names none."""
        group = self._scenario.group
        asked = {
            (place.unit, place.step)
            for circuit in group.circuits
            for hop in circuit.hops
            for place in hop.places
        }
        asked |= {
            (unit.name, step)
            for unit in self._scenario.units
            for step in (*unit.events, *unit.stop_events)
        }
        named = tuple((unit, step) for unit, step in places if {(unit, step), ("*", step)} & asked)
        return named or places

    def _deaths(self, unit: str) -> Iterator[str]:
        ends = [end for end in self._ends if end.unit == unit]
        exits = any(f.do == "exit" and f.unit == unit for f in self._scenario.group.faults)
        for end in ends:
            if end.signal is not None and not (end is ends[-1] and end.cause is EndCause.STOPPED):
                yield f"{unit} was killed ({end.signal}): spans that it had not sent are lost"
            elif exits and end.exit_code:
                yield f"{unit} ended without sending its last spans, as a planned fault says"

    def _failures(self, unit: str) -> Iterator[str]:
        env, batches = self._env.get(unit, {}), self._seen.get("batches", {})
        if unit in self._seen.get("sampled", ()):
            yield f"{unit} samples: the trace state of its spans says so"
        elif sampler := _sampler(env):
            yield f"{unit} samples: OTEL_TRACES_SAMPLER is {sampler}"
        if unit not in batches and env.get("OTEL_SDK_DISABLED", "").lower() == "true":
            yield f"{unit} sends no spans: OTEL_SDK_DISABLED is true"
        folder = self._surroundings.folder
        for log in (folder.stderr(unit), folder.stdout(unit)):
            for line in last_lines(log, count=500, limit=1 << 18):
                if _EXPORT_FAILED.match(line):
                    yield f"the exporter of {unit} failed: {line.strip()[:200]}"
                    return

    def _refusals(self) -> Iterator[str]:
        for why, count in self._seen.get("refused", {}).items():
            times = "a batch was" if count == 1 else f"{count} batches were"
            yield f"{times} refused by the OTLP receiver ({why})"

    async def flush(self) -> None:
        """Let no event wait for the ancestors of its span any more."""
        if self._process.is_open:
            self._seen = await self._process.ask("flush")
            await self._recorder.sync()

    def last_batch_ns(self, units: list[str]) -> int:
        """How long the exporters of these units may keep their last batch."""
        if self._declared.linger_ns is not None:
            return self._declared.linger_ns
        delays = (self._delays_ns.get(unit, 0) + _IN_TRANSIT_NS for unit in units)
        return max(delays, default=0)

    def exporting(self, units: list[str]) -> list[str]:
        """Those of some units that have sent something, or that a rule is about by name."""
        sent = set(self._seen.get("batches", ()))
        named = {rule.at.unit for rule in self._declared.rules}
        named |= {rule.service or "" for rule in self._declared.rules}
        return [unit for unit in units if unit in sent or unit in named]

    async def close(self) -> None:
        """Take what was received, and end the process."""
        self._seen = await self._process.close("finish") or self._seen


#: What SDKs write when a batch did not leave, or a span no batch.
_EXPORT_FAILED: Final = re.compile(
    r"(?!.*\bmetrics\b)(?=.*\bexport)(?=.*\b(?:spans?|traces?|logs?|batch|otlp)\b)"
    r".*(?:fail|error|exception|unable|exceeded|shutdown)"
    r"|.*queue (?:is )?full.*\b(?:spans?|logs?|drop)"
    r"|.*dropp\w+ (?:\w+ )?(?:span|log)",
    re.IGNORECASE,
)


def _sampler(env: Mapping[str, str]) -> str:
    """The sampler that a unit's environment asks for, where it does not keep all spans."""
    sampler = env.get("OTEL_TRACES_SAMPLER", "")
    if not sampler or sampler.removeprefix("parentbased_") == "always_on":
        return ""
    share = env.get("OTEL_TRACES_SAMPLER_ARG", "")
    if sampler.endswith("traceidratio"):
        try:
            if float(share or 1) >= 1:
                return ""
        except ValueError:
            pass
    return f"{sampler} {share}".strip()


def _delay_ns(text: str) -> int:
    try:
        return int(float(text) * 1_000_000)
    except (ValueError, OverflowError):
        return EXPORT_DELAY_MS * 1_000_000


def _told(rule: SpanRule | LogRule, declared: Telemetry) -> dict[str, Any]:
    """A rule as it is sent to the receiver, see `spans.Rule`."""
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
