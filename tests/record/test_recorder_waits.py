from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testrium.errors import InfraError
from testrium.evidence import Event
from testrium.record.recorder import Pending, Wait


def event(unit: str, step: str, key: str | None, start: int = 1, attempt: int = 1) -> Event:
    return Event(
        *(1, unit, step, "Default", key, (), 0, None, 0, "d", 1, 1, start, attempt, unit, {})
    )


NAMES = st.sampled_from(["a", "b"])
OR_ANY = st.sampled_from(["a", "b", "*"])
KEYS = st.sampled_from([None, "k", "l"])
NUMBERS = st.sampled_from([None, 1, 2])


@given(
    st.lists(st.tuples(OR_ANY, OR_ANY, KEYS, NUMBERS, NUMBERS), max_size=6),
    st.lists(
        st.builds(event, NAMES, NAMES, KEYS, st.integers(1, 2), st.integers(1, 2)), max_size=6
    ),
)
def test_each_wait_gets_its_first_event(
    waits: list[tuple[str, str, str | None, int | None, int | None]], events: list[Event]
) -> None:
    answers: dict[int, list[Event | InfraError]] = {}
    pending = Pending()
    made = []
    for number, (unit, step, key, start, attempt) in enumerate(waits):
        answers[number] = []
        wait = Wait(unit, step, key, start, attempt, answers[number].append)
        made.append(wait)
        pending.add(wait)
    for one in events:
        pending.feed([one], attempt=2)
    for number, wait in enumerate(made):
        expected = [one for one in events if wait.matches(one, 2)][:1]
        assert answers[number] == expected


def test_a_removed_wait_gets_no_answer() -> None:
    answers: list[object] = []
    pending = Pending()
    wait = Wait("a", "s", None, None, None, answers.append)
    pending.add(wait)
    pending.remove(wait)
    pending.remove(wait)
    pending.feed([event("a", "s", None)], 1)
    pending.fail(InfraError("x"))
    assert answers == []


def test_a_failure_answers_all() -> None:
    answers: list[object] = []
    pending = Pending()
    for step in ("s", "t", "*"):
        pending.add(Wait("a", step, None, None, None, answers.append))
    error = InfraError("x")
    pending.fail(error)
    assert answers == [error] * 3
