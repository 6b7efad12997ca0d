"""Waits that are not answered yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from testrium.errors import InfraError
from testrium.model import Event

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


class Pending:
    """All open waits of a group, found by the step of an event: one look per event."""

    def __init__(self) -> None:
        self._by_step: dict[str, list[Wait]] = {}

    def add(self, wait: Wait) -> None:
        self._by_step.setdefault(wait.step, []).append(wait)

    def remove(self, wait: Wait) -> None:
        """Forget a wait, answered or not."""
        waits = self._by_step.get(wait.step, [])
        if wait in waits:
            waits.remove(wait)
            if not waits:
                del self._by_step[wait.step]

    def feed(self, events: Iterable[Event], attempt: int) -> None:
        """Answer the waits that these events fulfil, each with the first one."""
        if not self._by_step:
            return
        by_step = self._by_step
        for event in events:
            if event.step in by_step or "*" in by_step:
                waits = (*by_step.get(event.step, ()), *by_step.get("*", ()))
                for wait in waits:
                    if wait.matches(event, attempt):
                        self.remove(wait)
                        wait.answer(event)

    def fail(self, error: InfraError) -> None:
        """Tell everybody that no event will come any more."""
        waits = [wait for waits in self._by_step.values() for wait in waits]
        self._by_step.clear()
        for wait in waits:
            wait.answer(error)
