"""Findings in the making: facts of one code at one place, and the words that all findings use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from itertools import chain
from math import inf

from testrium.declared.circuits import Hop
from testrium.evidence import Event
from testrium.tuples import NamedTuple
from testrium.verify.timing import Row
from testrium.words import Code


class Fact(NamedTuple):
    """What is wrong with one key: `event`, compared with `other`; either may be absent."""

    event: Event | None = None
    other: Event | None = None
    text: str = ""
    more: tuple[Event, ...] = ()

    @property
    def t_ns(self) -> int | None:
        """When it happened, as far as that is known."""
        event = self.event or self.other
        return None if event is None else event.t_ns


#: Gives the events of a key for each hop.
Rows = Callable[[str | None], Row]


class Draft:
    """One finding before it is worded: facts of one code at one place, by key (None: of no key).

    `keys` keep the order in which they were found. The earliest fact is the witness. `sizes` holds
    what was measured for a key. `position` is the index of the `hop` in its route. `missing` counts
    the probes that are not there.
    """

    def __init__(
        self, code: Code, where: str, circuit: str | None, rows: Rows, hop: Hop | None = None
    ) -> None:
        self.code = code
        self.where = where
        self.circuit = circuit
        self.rows = rows
        self.hop = hop
        self.position: int | None = None
        self.about = ""
        self.facts: dict[str | None, Fact] = {}
        self.count = 0
        self.missing = 0
        self.sizes: dict[str | None, float] = {}
        self.explained_by: str | None = None

    def part(self, keys: Iterable[str | None]) -> Draft:
        """A draft of some of its keys."""
        made = Draft(self.code, self.where, self.circuit, self.rows, self.hop)
        made.position, made.about = self.position, self.about
        for key in keys:
            made.take(self, key)
        made.count = len(made.facts)
        return made

    def take(self, other: Draft, key: str | None) -> None:
        """Add what another draft of this code and place says of a key."""
        self.facts[key] = other.facts[key]
        if key in other.sizes:
            self.sizes[key] = other.sizes[key]
        self.missing += 1 if other.code is not Code.LOST else int(other.sizes.get(key, 1))

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key for key in self.facts if key is not None)

    @cached_property
    def key(self) -> str | None:
        """The key of the witness."""
        return min(self.facts, key=self._moment)

    def _moment(self, key: str | None) -> float:
        t_ns = self.facts[key].t_ns
        return inf if t_ns is None else t_ns

    @property
    def fact(self) -> Fact:
        """What is wrong with the witness."""
        return self.facts[self.key]

    @property
    def event(self) -> Event | None:
        return self.fact.event

    @property
    def other(self) -> Event | None:
        return self.fact.other

    @property
    def text(self) -> str:
        return self.fact.text

    @property
    def t_ns(self) -> int | None:
        return self.fact.t_ns

    @property
    def unit(self) -> str | None:
        """The unit to look at."""
        return self.event.unit if self.event is not None else _only_unit(self.hop)

    @cached_property
    def row(self) -> Row:
        """The witness's events for each hop."""
        return self.rows(self.key)

    def witnesses(self) -> list[Event]:
        """The events that show what happened to the witness, by time."""
        found = {event.id: event for event in chain.from_iterable(self.row)}
        others = (*self.fact.more, self.event, self.other)
        found.update((event.id, event) for event in others if event is not None)
        return sorted(found.values(), key=lambda event: (event.t_ns, event.id))


class Drafts:
    """All drafts of one circuit, or of none: one for each code, place and hop.

    Without `keyed`, keys are ignored: it is a circuit of the whole run.
    """

    def __init__(self, circuit: str | None, rows: Rows, *, keyed: bool = True) -> None:
        self._circuit = circuit
        self._rows = rows
        self._keyed = keyed
        self._drafts: dict[tuple[Code, str, int | None, str], Draft] = {}

    def __iter__(self) -> Iterator[Draft]:
        return iter(self._drafts.values())

    def add(
        self,
        code: Code,
        where: str,
        fact: Fact,
        *,
        key: str | None = None,
        hop: Hop | None = None,
        position: int | None = None,
        size: float | None = None,
        about: str = "",
    ) -> None:
        """Add one fact; of several about one key the earliest counts.

        What they are `about` keeps drafts of one code and place apart.
        """
        name = (code, where, position, about)
        draft = self._drafts.get(name)
        if draft is None:
            draft = self._drafts[name] = Draft(code, where, self._circuit, self._rows, hop)
            draft.position, draft.about = position, about
        draft.count += 1
        if not self._keyed:
            key = None
        known = draft.facts.get(key)
        if known is None or (
            fact.t_ns is not None and (known.t_ns is None or fact.t_ns < known.t_ns)
        ):
            draft.facts[key] = fact
        if size is not None:
            draft.sizes[key] = size
        draft.missing += int(size) if size is not None and code is Code.LOST else 1

    def add_event(
        self,
        code: Code,
        event: Event,
        *,
        name: str | None = None,
        other: Event | None = None,
        text: str = "",
        position: int | None = None,
        more: tuple[Event, ...] = (),
    ) -> None:
        """Add one fact about one event, at its own place.

        It counts under the event's own key; without one, under the `name` of its instance.
        """
        self.add(
            code,
            place_of(event),
            Fact(event, other, text, more),
            key=name if event.key is None else event.key,
            position=position,
        )


def _only_unit(hop: Hop | None) -> str | None:
    units = {place.unit for place in hop.places} if hop is not None else set()
    return units.pop() if len(units) == 1 and "*" not in units else None


def place_of(event: Event) -> str:
    """`unit:step`."""
    return f"{event.unit}:{event.step}"


def flat(row: Row) -> list[Event]:
    """All events of an instance, in the order in which they happened, as far as that is known."""
    return sorted(chain.from_iterable(row), key=lambda event: (event.t_ns, event.id))


def distinct(values: Iterable[str]) -> tuple[str, ...]:
    """Without repetitions, in their order."""
    return tuple(dict.fromkeys(values))
