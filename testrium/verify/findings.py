"""Findings in the making: facts of one code at one place, and the words that all findings use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from testrium.declared.circuits import Hop
from testrium.evidence import Event
from testrium.verify.timing import Row
from testrium.words import Code


class Draft:
    """One finding. The earliest fact is its witness: `key`, `row`, `event` and `other` are its.

    `event` is what is wrong, `other` what it is compared with. `sizes` holds what was measured
    for each key (None: the whole run), where something was. `keys` keep the order in which they
    were found.
    """

    def __init__(self, code: Code, where: str, hop: Hop | None = None) -> None:
        self.code = code
        self.where = where
        self.hop = hop
        self.keys: dict[str, None] = {}
        self.facts = 0
        self.t_ns: int | None = None
        self.key: str | None = None
        self.row: Row = ()
        self.event: Event | None = None
        self.other: Event | None = None
        self.text = ""
        self.sizes: dict[str | None, float] = {}

    def witnesses(self) -> list[Event]:
        """The events that tell the witness's story, by time."""
        found = {event.id: event for events in self.row for event in events}
        found.update((event.id, event) for event in (self.event, self.other) if event is not None)
        return sorted(found.values(), key=lambda event: (event.t_ns, event.id))


class Drafts:
    """All drafts of one circuit, one for each code and place.

    Without `keyed`, keys are ignored: it is a circuit of the whole run.
    """

    def __init__(self, *, keyed: bool = True) -> None:
        self._keyed = keyed
        self._drafts: dict[tuple[Code, str], Draft] = {}

    def __iter__(self) -> Iterator[Draft]:
        return iter(self._drafts.values())

    def add(
        self,
        code: Code,
        where: str,
        *,
        t_ns: int | None,
        key: str | None = None,
        row: Row = (),
        event: Event | None = None,
        other: Event | None = None,
        hop: Hop | None = None,
        size: float | None = None,
        text: str = "",
    ) -> None:
        """Add one fact; the earliest becomes the witness."""
        draft = self._drafts.get((code, where))
        if draft is None:
            draft = self._drafts[code, where] = Draft(code, where, hop)
        draft.facts += 1
        if not self._keyed:
            key = None
        if key is not None:
            draft.keys[key] = None
        if size is not None:
            draft.sizes[key] = size
        first = draft.facts == 1
        if first or (t_ns is not None and (draft.t_ns is None or t_ns < draft.t_ns)):
            draft.t_ns, draft.key, draft.row = t_ns, key, row
            draft.event, draft.other, draft.text = event, other, text

    def add_event(
        self,
        code: Code,
        event: Event,
        *,
        name: str | None = None,
        row: Row = (),
        other: Event | None = None,
        text: str = "",
    ) -> None:
        """Add one fact about one event, at its own place.

        It counts under the event's own key; without one, under the `name` of its instance.
        """
        self.add(
            code,
            place_of(event),
            t_ns=event.t_ns,
            key=name if event.key is None else event.key,
            row=row,
            event=event,
            other=other,
            text=text,
        )


def place_of(event: Event) -> str:
    """`unit:step`."""
    return f"{event.unit}:{event.step}"


def by_time(events: Iterable[Event]) -> list[Event]:
    """In the order in which they happened, as far as that is known."""
    return sorted(events, key=lambda event: (event.t_ns, event.id))


def flat(row: Row) -> list[Event]:
    """All events of an instance, by time."""
    return by_time(event for events in row for event in events)


def distinct(values: Iterable[str]) -> tuple[str, ...]:
    """Without repetitions, in their order."""
    return tuple(dict.fromkeys(values))
