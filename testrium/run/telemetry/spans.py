"""What rules make of spans and log records: events with their key, cause and time. Pure.

A span names its parent, and is sent when it ends: mostly before its parent. So an event waits until
all ancestors of its span are known, or for so long that they will not come any more.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from math import inf
from typing import Any, NamedTuple

from testrium.variables import filled_value, value_at
from testrium.words import EMPTY

#: A span of a trace: both ids, in hexadecimal.
SpanId = tuple[str, str]

#: So long an event waits for the ancestors of its span (ns).
HOLD_NS = 2_000_000_000

#: Spans of which the parent and the key are kept; of older ones nothing is known any more.
MOST_SPANS = 500_000

#: Ancestors that are looked at; real traces have fewer, and a client may send a circle.
_MOST_ANCESTORS = 1000

#: Names of spans that no rule wanted, kept for messages.
_MOST_NAMES = 100


class Sender(NamedTuple):
    """The sender of a record: its resource. `unit` is "" for a sender outside the group."""

    unit: str
    start: int
    service: str
    resource: Mapping[str, Any]


class SpanRecord(NamedTuple):
    """One span; times are those of the wall clock of its process (ns)."""

    sender: Sender
    scope: str
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str = "unset"
    attributes: Mapping[str, Any] = EMPTY
    links: tuple[SpanId, ...] = ()

    def value(self, name: str) -> Any:
        """What a reference of a rule means. Raises KeyError."""
        return _own_value(self, name, ("name", "span_id", "parent_id", "kind", "status"))


class LogRecord(NamedTuple):
    """One log record; `time_ns` is that of the wall clock of its process."""

    sender: Sender
    scope: str
    trace_id: str
    span_id: str
    time_ns: int
    severity: str
    event: str
    body: Any
    attributes: Mapping[str, Any] = EMPTY

    @property
    def text(self) -> str:
        """Its body as a text."""
        return self.body if isinstance(self.body, str) else as_json(self.body)

    def value(self, name: str) -> Any:
        """What a reference of a rule means. Raises KeyError."""
        if name.startswith("body."):
            body = self.body
            if isinstance(body, str):
                try:
                    body = json.loads(body)
                except (ValueError, RecursionError):
                    raise KeyError(name) from None
            return value_at(body, name.removeprefix("body."))
        return _own_value(self, name, ("span_id", "severity", "event", "body"))


Record = SpanRecord | LogRecord


def _own_value(record: Record, name: str, plain: tuple[str, ...]) -> Any:
    if name.startswith("attributes."):
        return value_at(record.attributes, name.removeprefix("attributes."))
    if name.startswith("resource."):
        return value_at(record.sender.resource, name.removeprefix("resource."))
    if name == "service":
        return record.sender.service
    if name in plain or name in ("trace_id", "scope"):
        if (value := getattr(record, name)) in ("", None):
            raise KeyError(name)
        return value
    raise KeyError(name)


def as_json(value: Any) -> str:
    """A value of a record as a text."""
    return json.dumps(value, ensure_ascii=False, default=str)


class Rule(NamedTuple):
    """A `[[otlp.spans]]` or `[[otlp.logs]]`, as the receiver gets it. `unit` "" is the sender's.

    `pattern` is that of the name, or of the text of a log record.
    """

    is_span: bool
    pattern: str
    unit: str
    step: str
    type: str
    key: str | None = None
    at_start: bool = False
    service: str | None = None
    kind: str | None = None
    scope: str | None = None
    severity: str | None = None
    attributes: Mapping[str, Any] = EMPTY
    meta: Mapping[str, str] = EMPTY

    def groups(self, record: Record) -> dict[str, str] | None:
        """The named groups of its pattern; None where the rule is not about this record."""
        if self.is_span is not isinstance(record, SpanRecord):
            return None
        for wanted, found in (
            (self.service, record.sender.service),
            (self.scope, record.scope),
            (self.kind, getattr(record, "kind", "")),
            (self.severity, getattr(record, "severity", "")),
        ):
            if wanted is not None and not is_meant(wanted, found):
                return None
        for name, value in self.attributes.items():
            try:
                if not _fits(value, value_at(record.attributes, name)):
                    return None
            except KeyError:
                return None
        if isinstance(record, SpanRecord):
            if self.pattern == record.name:
                return {}
            found_name = re.fullmatch(self.pattern, record.name)
            return None if found_name is None else found_name.groupdict(default="")
        found_text = re.search(self.pattern, record.text)
        return None if found_text is None else found_text.groupdict(default="")


def is_meant(wanted: str, found: str) -> bool:
    """Whether a text is what was written, or what the whole pattern says."""
    return wanted == found or re.fullmatch(wanted, found) is not None


def _fits(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, str):
        return is_meant(wanted, found if isinstance(found, str) else as_json(found))
    same_kind = isinstance(wanted, bool) is isinstance(found, bool)
    return same_kind and bool(wanted == found)


class WallClock:
    """What a wall clock said at which times of CLOCK_MONOTONIC.

    Between two measurements its offset is taken to be between theirs, or where a step lies between
    them one of both: times become intervals, and a step makes them wider. `domain` is the name of
    that CLOCK_MONOTONIC where it is the one of another host, which is known by what it said alone.
    """

    def __init__(self, domain: str | None = None) -> None:
        self.domain = domain
        #: begin, end (CLOCK_MONOTONIC), least and largest offset in between
        self._spans: list[tuple[int, int, int, int]] = []
        self._last: tuple[int, int, int] | None = None

    def measured(self, before_ns: int, wall_ns: int, after_ns: int) -> None:
        """The wall clock said `wall_ns` between two times of CLOCK_MONOTONIC."""
        low, high = wall_ns - after_ns, wall_ns - before_ns
        if self._last is None:
            self._last = before_ns, low, high
            return
        then, old_low, old_high = self._last
        span = (then, after_ns, min(low, old_low), max(high, old_high))
        self._last = before_ns, low, high
        if self._spans:
            begin, _, least, largest = self._spans[-1]
            joined = (begin, after_ns, min(least, span[2]), max(largest, span[3]))
            if joined[3] - joined[2] <= _CALM_NS:
                self._spans[-1] = joined
                return
        self._spans.append(span)

    def latest_ns(self, now_ns: int) -> int:
        """The latest time that it can have been there by now, of the runner's CLOCK_MONOTONIC."""
        if self.domain is None:
            return now_ns
        return self._spans[-1][1] if self._spans else self._last[0] if self._last else 0

    def bounds(self, wall_ns: int, resolution_ns: int, before_ns: int) -> tuple[int, int]:
        """Between which times of CLOCK_MONOTONIC it was so late, and not after `before_ns`."""
        lows, highs = [], []
        for begin, end, least, largest in self._spans:
            low = max(begin, wall_ns - resolution_ns - largest)
            high = min(end, before_ns, wall_ns + resolution_ns - least)
            if low <= high:
                lows.append(low)
                highs.append(high)
        if lows:
            return min(lows), max(highs)
        began = self._spans[0][0] if self._spans else before_ns
        return min(began, before_ns), before_ns


#: Measurements whose offsets differ by less are of one calm time (ns).
_CALM_NS = 50_000


def resolution_ns(*walls_ns: int) -> int:
    """How coarse a clock is, as far as its times tell: they end in zeros."""
    for unit in (1_000_000, 1_000):
        if all(wall % unit == 0 for wall in walls_ns):
            return unit
    return 1


class EventLine(NamedTuple):
    """An event for the file of a start of a unit, as a line of it says it."""

    unit: str
    start: int
    fields: dict[str, Any]


class _Known(NamedTuple):
    """What is kept of a span: the keys of its events, if it has any."""

    parent: SpanId | None
    keys: tuple[str, ...]


class _Held(NamedTuple):
    """Events of one record that wait for its ancestors."""

    until_ns: int
    begins: tuple[SpanId, ...]  # where the ways to causes begin
    lines: list[EventLine]


class Collector:
    """Makes events of records.

        collector = Collector(rules, clock)
        lines = collector.add(records, arrived_ns)
        lines = collector.overdue(now_ns)
        lines = collector.rest()

    `outer` tells which spans never come: those that the runner has given to units as parents.
    """

    def __init__(
        self, rules: Iterable[Rule], clock: WallClock, outer: Collection[SpanId] = ()
    ) -> None:
        self._rules = tuple(rules)
        self._clock = clock
        self._outer = outer
        self._known: OrderedDict[SpanId, _Known] = OrderedDict()
        self._logs: OrderedDict[int, None] = OrderedDict()
        self._waiting: dict[SpanId, list[_Held]] = defaultdict(list)
        self._one_key = {rule.key for rule in self._rules} == {"${trace_id}"}
        #: By the number of a rule: the units whose records it was about.
        self.senders: dict[int, set[str]] = defaultdict(set)
        #: Services other than units, whose records a rule without a unit was about.
        self.strangers: set[str] = set()
        #: Some names of spans that no rule was about.
        self.unwanted: dict[str, None] = {}

    def add(
        self, records: Iterable[Record], arrived_ns: int, clock: WallClock | None = None
    ) -> list[EventLine]:
        """The events that are ready now, of these records and of earlier ones.

        `clock` is that of their host, where it is another one. What was sent twice, as exporters do
        that had no answer, counts once.
        """
        ready: list[EventLine] = []
        for record in records:
            if self._is_repeated(record):
                continue
            lines = list(self._lines(record, arrived_ns, clock or self._clock))
            begins: tuple[SpanId, ...]
            if isinstance(record, SpanRecord):
                me = record.trace_id, record.span_id
                parent = (record.trace_id, record.parent_id) if record.parent_id else None
                keys = tuple(line.fields["key"] for line in lines if "key" in line.fields)
                self._known[me] = _Known(parent, keys)
                if len(self._known) > MOST_SPANS:
                    self._known.popitem(last=False)
                for held in self._waiting.pop(me, ()):
                    ready += self._tried(held)
                begins = (*((parent,) if parent and not self._one_key else ()), *record.links)
                if not lines and len(self.unwanted) < _MOST_NAMES:
                    self.unwanted[record.name[:200]] = None
            else:
                begins = ((record.trace_id, record.span_id),) if record.span_id else ()
                begins = () if self._one_key else begins
            if lines:
                ready += self._tried(_Held(arrived_ns + HOLD_NS, begins, lines))
        return ready

    def overdue(self, now_ns: float) -> list[EventLine]:
        """The events that have waited for too long."""
        ready: list[EventLine] = []
        for missing, waiting in tuple(self._waiting.items()):
            self._waiting[missing] = [held for held in waiting if held.until_ns > now_ns]
            if not self._waiting[missing]:
                del self._waiting[missing]
            for held in waiting:
                if held.until_ns <= now_ns:
                    ready += self._with_causes(held, final=True) or ()
        return ready

    def rest(self) -> list[EventLine]:
        """All events that wait: no ancestor comes any more."""
        return self.overdue(inf)

    def _is_repeated(self, record: Record) -> bool:
        if isinstance(record, SpanRecord):
            return (record.trace_id, record.span_id) in self._known
        number = hash((record.sender.unit, record.sender.start, as_json(record[1:])))
        if number in self._logs:
            return True
        self._logs[number] = None
        if len(self._logs) > MOST_SPANS:
            self._logs.popitem(last=False)
        return False

    def _lines(self, record: Record, arrived_ns: int, clock: WallClock) -> Iterator[EventLine]:
        sender = record.sender
        for number, rule in enumerate(self._rules):
            groups = rule.groups(record)
            if groups is None:
                continue
            unit = rule.unit or sender.unit
            if not unit:
                self.strangers.add(sender.service)
                continue
            self.senders[number].add(sender.unit)
            fields = self._fields(rule, record, groups, arrived_ns, clock)
            owner = sender.unit or unit
            if owner != unit:
                fields["unit"] = unit
            yield EventLine(owner, sender.start, fields)

    def _fields(
        self,
        rule: Rule,
        record: Record,
        groups: Mapping[str, str],
        arrived_ns: int,
        clock: WallClock,
    ) -> dict[str, Any]:
        def value(name: str) -> object:
            return groups[name] if name in groups else record.value(name)

        if isinstance(record, SpanRecord):
            wall_ns = record.start_ns if rule.at_start else record.end_ns
            coarse = resolution_ns(record.start_ns)  # an end is often made of start and duration
        else:
            wall_ns = record.time_ns
            coarse = resolution_ns(wall_ns)
        low_ns, high_ns = clock.bounds(wall_ns, coarse, clock.latest_ns(arrived_ns))
        fields: dict[str, Any] = {"step": rule.step, "type": rule.type}
        if clock.domain is not None:
            fields["domain"] = clock.domain
        if rule.key is not None:
            try:
                key = filled_value(rule.key, value)
                fields["key"] = key if isinstance(key, str) else as_json(key)
            except KeyError:
                pass  # it has no such attribute, and so no key
        fields |= {"t_ns": high_ns, "t_low_ns": low_ns, "wall_ns": max(0, wall_ns)}
        meta = {}
        for name, text in rule.meta.items():
            try:
                meta[name] = filled_value(text, value)
            except KeyError:
                continue
        if meta:
            fields["meta"] = meta
        return fields

    def _tried(self, held: _Held) -> list[EventLine]:
        """Its lines with their causes; [] where an ancestor is not there yet."""
        return self._with_causes(held, final=False) or []

    def _with_causes(self, held: _Held, *, final: bool) -> list[EventLine] | None:
        causes: dict[str, None] = {}
        for begin in held.begins:
            here: SpanId | None = begin
            for _ in range(_MOST_ANCESTORS):
                if here is None or here in self._outer:
                    break
                known = self._known.get(here)
                if known is None:
                    if not final:
                        self._waiting[here].append(held)
                        return None
                    break
                if known.keys:
                    causes |= dict.fromkeys(known.keys)
                    break
                here = known.parent
        for line in held.lines:
            if cause := [key for key in causes if key != line.fields.get("key")]:
                line.fields["cause"] = cause
        return held.lines
