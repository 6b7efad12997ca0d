"""Whether all that a scenario asks for has happened, answered while the events come in.

What is asked for are lower bounds only: whether something happened too often, too late or in the
wrong order is judged at the end.
"""

from __future__ import annotations

from collections.abc import Iterable

from testrium.declared.circuits import WHOLE_RUN, Circuit, Claim, claim_of, first_open
from testrium.declared.groups import Scenario
from testrium.evidence import Event
from testrium.phrases import plural, shown
from testrium.words import EventType


class Expectations:
    """What a scenario still waits for.

    Met when every required probe was emitted (`stop_events` are not waited for), every circuit
    has its least number of instances and every instance the least count at each hop; with
    `orphans = "forbid"` also when each key that was sent was received, and the reverse.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._attempt = 0
        self.reset()

    def reset(self) -> None:
        """A new attempt: events of the one before do not count any more."""
        group = self._scenario.group
        self._attempt += 1
        self._missing = {
            (unit.name, step): None for unit in self._scenario.units for step in unit.events
        }
        self._circuits = [OpenCircuit(circuit) for circuit in group.circuits]
        self._orphans = OpenKeys() if group.rules.orphans == "forbid" else None

    def feed(self, events: Iterable[Event]) -> None:
        """Take note of what was stored; a constant cost per event."""
        for event in events:
            if event.attempt != self._attempt:
                continue
            if self._missing:
                self._missing.pop((event.unit, event.step), None)
            for circuit in self._circuits:
                circuit.feed(event)
            if self._orphans is not None and event.type != EventType.DEFAULT:
                self._orphans.feed(event)

    def met(self) -> bool:
        """Whether nothing is open any more."""
        return (
            not self._missing
            and all(circuit.met() for circuit in self._circuits)
            and (self._orphans is None or self._orphans.met())
        )

    def has_events_of(self, unit: str) -> bool:
        """Whether all required probes of this unit were emitted."""
        return all(of != unit for of, _ in self._missing)

    def waiting(self) -> tuple[str, ...]:
        """What is waited for, and where: `3 keys at notifier:notified`."""
        return (
            *(line for circuit in self._circuits for line in circuit.waiting()),
            *(f"{unit}:{step}" for unit, step in self._missing),
            *(self._orphans.waiting() if self._orphans is not None else ()),
        )


class OpenKeys:
    """Keys that were sent and not received, or received and not sent."""

    def __init__(self) -> None:
        self._sent: set[str] = set()
        self._received: set[str] = set()
        self._half: dict[str, None] = {}

    def feed(self, event: Event) -> None:
        if event.key is None:
            return
        if event.type == EventType.SEND:
            mine, others = self._sent, self._received
        elif event.type == EventType.RECEIVE:
            mine, others = self._received, self._sent
        else:
            return
        mine.add(event.key)
        if event.key in others:
            self._half.pop(event.key, None)
        else:
            self._half[event.key] = None

    def met(self) -> bool:
        return not self._half

    def waiting(self) -> tuple[str, ...]:
        """How many keys are waited for at their other end."""
        unsent = sum(key not in self._sent for key in self._half)
        counted = ((len(self._half) - unsent, "receiver"), (unsent, "sender"))
        return tuple(f"the {end} of {plural(number, 'key')}" for number, end in counted if number)


#: Keys of a circuit that are looked at one by one, to say what is waited for: 10 ms.
MOST_LOOKED_AT = 10_000


class OpenCircuit:
    """The instances of one circuit, and at how many of their hops something is missing."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._hops = circuit.hops
        self._least = circuit.keys[0]
        self._claims: dict[tuple[str, str], Claim] = {}
        self._counts: dict[str, list[int]] = {}  # per instance: how often each hop was reached
        self._joined: dict[str, str] = {}  # key -> key of the instance that it belongs to
        self._open = 0

    def feed(self, event: Event) -> None:
        place = (event.unit, event.step)
        claim = self._claims.get(place)
        if claim is None:
            claim = self._claims[place] = claim_of(self._hops, *place)
        if event.cause and self._circuit.per == "key":
            self._instance_of(event)  # the causes of all events join
        if not claim.hops or (claim.by_star and event.key is None and self._circuit.per == "key"):
            return
        key = self._instance_of(event)
        if key is None:
            return
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0] * len(self._hops)
            self._open += self._open_hops(counts)
        hop = claim.hops[0]
        if len(claim.hops) > 1:
            hop = first_open(claim.hops, counts, self._hops)
        counts[hop] += 1
        if counts[hop] == self._hops[hop].least:
            self._open -= 1

    def met(self) -> bool:
        return self._open == 0 and len(self._counts) >= self._least

    def waiting(self) -> tuple[str, ...]:
        """How many keys are waited for at each hop: at the first one that a key has not passed."""
        if self.met():
            return ()
        if len(self._counts) > MOST_LOOKED_AT:
            return (f"keys of circuit {self._circuit.name}, {len(self._counts)} so far",)
        waited: dict[int, list[str]] = {}
        for key, counts in self._counts.items():
            short = (n for n, hop in enumerate(self._hops) if counts[n] < hop.least)
            if (first := next(short, None)) is not None:
                waited.setdefault(first, []).append(key)
        lines = []
        for number in sorted(waited):
            keys, hop = waited[number], self._hops[number].text
            if self._circuit.per == "run":
                lines.append(hop)
            else:
                who = f"key {shown(keys[0])}" if len(keys) == 1 else plural(len(keys), "key")
                lines.append(f"{who} at {hop}")
        if (more := self._least - len(self._counts)) > 0:
            lines.append(f"{plural(more, 'more key')} at {self._hops[0].text}")
        return tuple(lines)

    def _instance_of(self, event: Event) -> str | None:
        """The key of the event's instance; joins what its causes join. None without one."""
        if self._circuit.per == "run":
            return WHOLE_RUN
        keys = event.cause if event.key is None else (event.key, *event.cause)
        if not keys:
            return None
        root = self._root(keys[0])
        for key in keys[1:]:
            root = self._join(root, self._root(key))
        return root

    def _root(self, key: str) -> str:
        while (above := self._joined.get(key, key)) != key:
            self._joined[key] = self._joined.get(above, above)
            key = above
        return key

    def _join(self, one: str, other: str) -> str:
        if one == other:
            return one
        kept, gone = (one, other) if one in self._counts else (other, one)
        self._joined[gone] = kept
        if (moved := self._counts.pop(gone, None)) is not None:
            counts = self._counts[kept]
            self._open -= self._open_hops(moved) + self._open_hops(counts)
            counts[:] = map(sum, zip(counts, moved, strict=True))
            self._open += self._open_hops(counts)
        return kept

    def _open_hops(self, counts: list[int]) -> int:
        return sum(n < hop.least for n, hop in zip(counts, self._hops, strict=True))
