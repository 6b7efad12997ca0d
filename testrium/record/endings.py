"""Which units have ended for good, told to processes that wait for what those would emit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from testrium.evidence import End, EndCause
from testrium.words import RESERVED_UNITS

#: Is told how the unit ended, in words.
Answer = Callable[[str], None]


class Endings:
    """The ends of one group's units."""

    def __init__(self) -> None:
        #: The group is being stopped, its units too: only test functions still need an answer. A
        #: unit that is about to be stopped must not first fail of another's end.
        self.stopping = False
        self._ends: dict[str, str] = {}
        self._asked: list[tuple[str, str, Answer]] = []

    def tell(self, end: End) -> None:
        """A unit has come to its last end."""
        self._ends[end.unit] = described(end)
        self._answer()

    def forget(self) -> None:
        """All units begin again."""
        self._ends.clear()
        self.stopping = False

    def ask(self, unit: str, asker: str, answer: Answer) -> Callable[[], None]:
        """Have `answer` called once when `unit` has ended; what is returned takes it back."""
        entry = (unit, asker, answer)
        self._asked.append(entry)
        self._answer()
        return partial(self._forget, entry)

    def _forget(self, entry: tuple[str, str, Answer]) -> None:
        if entry in self._asked:
            self._asked.remove(entry)

    def _answer(self) -> None:
        for entry in tuple(self._asked):
            unit, asker, answer = entry
            if unit in self._ends and not (self.stopping and asker not in RESERVED_UNITS):
                self._asked.remove(entry)
                answer(self._ends[unit])


def described(end: End) -> str:
    """In words: "unit api was ended by SIGSEGV"."""
    if end.cause is EndCause.NOTRUN:
        return f"unit {end.unit} was not started"
    if end.cause in (EndCause.STOPPED, EndCause.ABANDONED):
        return f"unit {end.unit} was stopped"
    if end.signal is not None:
        return f"unit {end.unit} was ended by {end.signal}"
    if end.exit_code is not None:
        return f"unit {end.unit} ended with exit code {end.exit_code}"
    return f"unit {end.unit} has ended: {end.message}" if end.message else f"unit {end.unit} ended"
