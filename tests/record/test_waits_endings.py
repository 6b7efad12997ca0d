"""Who is told that a unit has ended, and how."""

from __future__ import annotations

import pytest

from testrium.evidence import End, EndCause, UnitState
from testrium.record.waits import Endings, described


def end(cause: EndCause = EndCause.SELF, **fields: object) -> End:
    made = End("api", cause, UnitState.FINISHED)
    return made._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (end(exit_code=0), "unit api ended with exit code 0"),
        (end(signal="SIGSEGV"), "unit api was ended by SIGSEGV"),
        (end(EndCause.NOTRUN), "unit api was not started"),
        (end(EndCause.STOPPED, signal="SIGTERM"), "unit api was stopped"),
        (end(EndCause.UNREADY, message="no value"), "unit api has ended: no value"),
    ],
)
def test_in_words(one: End, words: str) -> None:
    assert described(one) == words


def test_past_and_future_ends_answer_once() -> None:
    endings, told = Endings(), list[str]()
    endings.ask("api", "tests", told.append)
    endings.ask("other", "tests", told.append)
    assert told == []
    endings.tell(end(exit_code=3))
    endings.tell(end(exit_code=3))
    endings.ask("api", "b", told.append)
    assert told == ["unit api ended with exit code 3"] * 2


def test_who_hangs_up_is_told_nothing() -> None:
    endings, told = Endings(), list[str]()
    take_back = endings.ask("api", "tests", told.append)
    take_back()
    take_back()
    endings.tell(end())
    assert told == []


def test_a_unit_that_is_being_stopped_does_not_fail_of_the_end_of_another() -> None:
    endings, told = Endings(), list[str]()
    endings.ask("api", "b", lambda how: told.append("b " + how))
    endings.ask("api", "tests", lambda how: told.append("tests " + how))
    endings.stopping = True
    endings.tell(end(exit_code=3))
    assert told == ["tests unit api ended with exit code 3"]


def test_all_begin_again() -> None:
    endings, told = Endings(), list[str]()
    endings.tell(end())
    endings.forget()
    endings.ask("api", "tests", told.append)
    assert told == []


def test_an_answer_is_kept_for_the_end_of_its_own_unit_only() -> None:
    endings, told = Endings(), list[str]()
    take_back = [endings.ask("api", "tests", told.append) for _ in range(3)]
    endings.tell(end()._replace(unit="other"))
    assert told == []
    take_back[1]()
    endings.tell(end(exit_code=0))
    assert told == ["unit api ended with exit code 0"] * 2
    take_back[0]()
    assert endings._asked == {}
