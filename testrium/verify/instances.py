"""The instances of a circuit: its events, gathered by key and by hop."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter

from testrium.model import Circuit, Event
from testrium.verify.index import EventIndex
from testrium.verify.places import choose_hop, matching_hops

#: The name of the one instance of a circuit that is `per = "run"`.
WHOLE_RUN = ""

_NOTHING: tuple[Event, ...] = ()

_key: Callable[[Event], str | None] = attrgetter("key")
_cause: Callable[[Event], tuple[str, ...]] = attrgetter("cause")


class Instances:
    """All instances of one circuit.

    An instance is named by its key; where causes join several keys, by the key of its earliest
    event. `unkeyed` are the events of hops that cannot be attributed.
    """

    def __init__(self, circuit: Circuit, index: EventIndex) -> None:
        self.unkeyed: list[Event] = []
        self._hops = circuit.hops
        self._per_run = circuit.per == "run"
        self._by_hop: list[dict[str, list[Event]]] = [{} for _ in self._hops]
        candidates = {place: matching_hops(self._hops, *place) for place in index.by_place}
        self.matched = any(candidates.values())
        own = [place for place, hops in candidates.items() if hops]
        self._names = None if self._per_run else _joined([index.by_place[place] for place in own])
        for hop, gathered in enumerate(self._by_hop):
            places = [index.by_place[place] for place in own if candidates[place] == (hop,)]
            self._gather(gathered, _merged(places))
        self._share(
            _merged([index.by_place[place] for place in own if len(candidates[place]) > 1]),
            candidates,
        )
        self._keys = dict.fromkeys(chain.from_iterable(self._by_hop))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def row(self, name: str) -> list[Sequence[Event]]:
        """The events of an instance, for each hop in the order of their times."""
        return [gathered.get(name, _NOTHING) for gathered in self._by_hop]

    def column(self, hop: int) -> Mapping[str, Sequence[Event]]:
        """The events of a hop, by instance."""
        return self._by_hop[hop]

    def name_of(self, key: str) -> str | None:
        """The instance that a key belongs to; None: it is no key of this circuit."""
        if self._per_run:
            return None
        name = key if self._names is None else self._names.get(key, key)
        return name if name in self._keys else None

    def _gather(self, gathered: dict[str, list[Event]], events: Sequence[Event]) -> None:
        if self._per_run:
            if events:
                gathered[WHOLE_RUN] = list(events)
            return
        names = self._names
        keys = map(_key, events) if names is None else (_name_in(names, e) for e in events)
        for name, event in zip(keys, events, strict=True):
            if name in gathered:
                gathered[name].append(event)
            elif name is not None:
                gathered[name] = [event]
            else:
                self.unkeyed.append(event)

    def _share(
        self, events: Sequence[Event], candidates: dict[tuple[str, str], tuple[int, ...]]
    ) -> None:
        """Give each event whose place several hops match to the first of them that has room."""
        for event in events:
            name: str | None = WHOLE_RUN
            if not self._per_run:
                name = event.key if self._names is None else _name_in(self._names, event)
            if name is None:
                self.unkeyed.append(event)
                continue
            counts = [len(gathered.get(name, _NOTHING)) for gathered in self._by_hop]
            hop = choose_hop(candidates[event.unit, event.step], counts, self._hops)
            gathered = self._by_hop[hop].setdefault(name, [])
            insort(gathered, event, key=attrgetter("t_ns"))


def _merged(lists: Sequence[list[Event]]) -> Sequence[Event]:
    """Sorted lists as one."""
    if len(lists) == 1:
        return lists[0]
    return sorted(chain.from_iterable(lists), key=attrgetter("t_ns"))


def _name_in(names: dict[str, str], event: Event) -> str | None:
    key = event.key if event.key is not None else next(iter(event.cause), None)
    return None if key is None else names[key]


def _joined(places: Sequence[list[Event]]) -> dict[str, str] | None:
    """The name of the instance of every key; None if no event has a cause: keys are names then."""
    if not any(any(map(_cause, events)) for events in places):
        return None
    route = list(chain.from_iterable(places))
    above: dict[str, str] = {}

    def root_of(key: str) -> str:
        while (parent := above.setdefault(key, key)) != key:
            above[key] = above[parent]
            key = parent
        return key

    for event in route:
        keys = event.cause if event.key is None else (event.key, *event.cause)
        for key in keys:
            above[root_of(keys[0])] = root_of(key)
    names: dict[str, str] = {}
    for event in sorted(route, key=attrgetter("t_ns")):
        first = event.key if event.key is not None else next(iter(event.cause), None)
        if first is not None:
            names.setdefault(root_of(first), first)
    return {key: names[root_of(key)] for key in above if root_of(key) in names}
