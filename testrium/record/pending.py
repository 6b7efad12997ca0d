"""Waits that are not answered yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

from testrium.errors import InfraError
from testrium.evidence import Event

#: Gets the event, or the reason why there will be none.
Answer = Callable[[Event | InfraError], None]


class Wait:
    """Somebody waits for an event of `unit` at `step`; `*` is any, None is any too."""

    def __init__(
        self,
        unit: str,
        step: str,
        key: str | None,
        start: int | None,
        attempt: int | None,
        answer: Answer,
    ) -> None:
        self.unit = unit
        self.step = step
        self.key = key
        self.start = start
        self.attempt = attempt
        self.answer = answer

    def matches(self, event: Event, attempt: int) -> bool:
        """Whether the event is an answer; `attempt` is the current one."""
        return (
            self.unit in ("*", event.unit)
            and self.step in ("*", event.step)
            and (self.key is None or self.key == event.key)
            and (self.start is None or self.start == event.start)
            and event.attempt == (attempt if self.attempt is None else self.attempt)
        )


#: Unit, step and key of a wait, as it says them.
_Place = tuple[str, str, str | None]


class Pending:
    """All open waits of a group, found by what they say: a few looks per event, however many."""

    def __init__(self) -> None:
        self._by_place: dict[_Place, dict[Wait, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_place.values()))

    def add(self, wait: Wait) -> None:
        self._by_place.setdefault((wait.unit, wait.step, wait.key), {})[wait] = None

    def remove(self, wait: Wait) -> None:
        """Forget a wait, answered or not."""
        place = (wait.unit, wait.step, wait.key)
        waits = self._by_place.get(place, {})
        waits.pop(wait, None)
        if not waits:
            self._by_place.pop(place, None)

    def feed(self, events: Iterable[Event], attempt: int) -> None:
        """Answer the waits that these events fulfil, each with the first one."""
        for event in events:
            if not self._by_place:
                return
            for wait in self._at(event):
                if wait.matches(event, attempt):
                    self.remove(wait)
                    wait.answer(event)

    def _at(self, event: Event) -> list[Wait]:
        keys = (None,) if event.key is None else (event.key, None)
        return [
            wait
            for place in product((event.unit, "*"), (event.step, "*"), keys)
            for wait in self._by_place.get(place, ())
        ]

    def fail(self, error: InfraError) -> None:
        """Tell everybody that no event will come any more."""
        waits = [wait for waits in self._by_place.values() for wait in waits]
        self._by_place.clear()
        for wait in waits:
            wait.answer(error)
