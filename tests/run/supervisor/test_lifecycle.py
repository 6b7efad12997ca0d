"""The life of a unit without a process: what is asked of its body, and when."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from testrium.run.supervisor.lifecycle import LeftProcess, UnitLifecycle
from testrium.run.supervisor.protocol import Launch, Receiver

NOWHERE = Path("/nowhere")
TERM = 15


class Body:
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def signal(self, number: int, to: Receiver, pid: int = 0) -> None:
        self.asked.append(f"signal {number} to {to}")

    def kill(self, pids: Iterable[int]) -> None:
        self.asked += [f"kill {pid}" for pid in pids]

    def kill_session(self) -> None:
        self.asked.append("kill session")

    def pause(self, to: Receiver, pid: int = 0) -> None:
        self.asked.append("pause")

    def resume(self, to: Receiver, pid: int = 0) -> None:
        self.asked.append("resume")

    def kill_all(self) -> None:
        self.asked.append("kill all")

    def dump_stacks(self) -> None:
        self.asked.append("stacks")

    def left(self) -> list[LeftProcess]:
        return [LeftProcess(7, "sleep 1000", frozenset({"sleep"}))]

    def clear(self) -> None:
        self.asked.append("clear")


class Story:
    """A life from its start, with the time that its deadline is away."""

    def __init__(
        self, in_s: float | None, *, command: tuple[str, ...] | None = None, **given: Any
    ) -> None:
        self.body = Body()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.deadline_ns = None if in_s is None else time.monotonic_ns() + int(in_s * 1e9)
        launch = Launch(
            unit="a",
            folder=NOWHERE,
            entrypoint=None if command else "part:main",
            command=command,
            cwd=NOWHERE,
            env={},
            stdout=NOWHERE,
            stderr=NOWHERE,
            stacks=NOWHERE,
            mode="DEBUG",
            deadline_ns=self.deadline_ns,
            **given,
        )
        self.life = UnitLifecycle(
            launch, self.body, 0, lambda event, **fields: self.tell(event, fields)
        )

    def tell(self, event: str, fields: dict[str, Any]) -> None:
        self.told.append((event, fields))

    def ended(self, code: int = -TERM) -> dict[str, Any]:
        self.life.end(code, None, None)
        event, fields = self.told[-1]
        assert event == "ended"
        end: dict[str, Any] = fields["exit"]
        return end


def test_at_its_deadline_it_is_asked_for_its_stacks_and_stopped_once() -> None:
    story = Story(in_s=0)
    assert story.life.next_ns == story.deadline_ns
    story.life.check_time()
    story.life.check_time()
    assert story.body.asked == ["stacks", f"signal {TERM} to session"]
    assert story.ended()["overdue"]


@pytest.mark.parametrize("in_s", [None, 1000])
def test_before_it_nothing_is_done(in_s: float | None) -> None:
    story = Story(in_s)
    story.life.check_time()
    assert story.body.asked == []
    assert not story.ended(0)["overdue"]


def test_a_command_has_no_stacks() -> None:
    story = Story(in_s=0, command=("sleep", "1000"))
    story.life.check_time()
    assert story.body.asked == [f"signal {TERM} to session"]


def test_a_unit_that_stands_still_is_overdue_all_the_same() -> None:
    story = Story(in_s=0)
    story.life.obey({"op": "pause", "for_ns": None, "to": "session", "pid": 0})
    story.life.check_time()
    assert story.body.asked == ["pause", "stacks", f"signal {TERM} to session"]
    assert story.ended()["overdue"]


def test_a_pause_ends_after_its_time() -> None:
    story = Story(in_s=None)
    story.life.obey({"op": "pause", "for_ns": 0, "to": "session", "pid": 0})
    story.life.check_time()
    assert story.body.asked == ["pause", "resume"]
    assert story.life.next_ns is None


def test_who_is_stopped_is_not_resumed_but_killed_after_the_grace() -> None:
    story = Story(in_s=1000)
    story.life.obey({"op": "pause", "for_ns": 0, "to": "session", "pid": 0})
    story.life.obey({"op": "stop", "signal": 2, "grace_ns": 0, "stacks": False})
    story.life.check_time()
    assert story.body.asked == ["pause", "signal 2 to session", "kill session"]
    end = story.ended(-9)
    assert (end["stopped"], end["overdue"]) == (True, False)


def test_after_its_end_there_is_nothing_to_obey() -> None:
    story = Story(in_s=1000)
    story.ended(0)
    for message in (
        {"op": "stop", "signal": 2, "grace_ns": 0, "stacks": True},
        {"op": "kill"},
        {"op": "signal", "signal": 9, "to": "session", "pid": 0},
        {"op": "pause", "for_ns": None, "to": "session", "pid": 0},
    ):
        story.life.obey(message)
    assert story.body.asked == []
    assert story.life.next_ns == story.life.leaks_at_ns


@pytest.mark.parametrize(("message", "leaks"), [(None, [(7, "sleep 1000")]), ({"op": "kill"}, [])])
def test_what_is_left_is_told_but_after_a_kill(
    message: dict[str, Any] | None, leaks: list[tuple[int, str]]
) -> None:
    story = Story(in_s=None)
    if message is not None:
        story.life.obey(message)
    story.ended()
    story.life.clear()
    assert story.told[-1] == ("cleared", {"leaks": leaks})
    assert story.body.asked[-1] == "clear"


STOP = {"op": "stop", "signal": TERM, "grace_ns": 10**12, "stacks": False}


def test_the_rest_of_a_session_goes_with_a_main_process_that_was_told_to_stop() -> None:
    story = Story(in_s=None, stop_to="process")
    story.life.obey(STOP)
    assert story.body.asked == [f"signal {TERM} to process"]
    story.ended(0)
    assert story.body.asked[-1] == "kill session"


def test_the_rest_of_a_session_stays_when_its_main_process_ends_by_itself() -> None:
    story = Story(in_s=None, stop_to="process")
    story.ended(0)
    assert story.body.asked == []


def test_allowed_leftovers_stay_until_released_and_are_not_leaks() -> None:
    story = Story(in_s=None, may_leave=("sleep",))
    story.ended(0)
    assert not story.life.clear()
    assert story.told[-1][0] == "ended"
    story.life.obey({"op": "release"})
    assert story.life.leaks_at_ns is not None
    assert story.life.clear()
    assert story.told[-1] == ("cleared", {"leaks": []})


def test_what_may_not_be_left_is_ended_and_told_beside_what_may() -> None:
    story = Story(in_s=None, may_leave=("epmd",))
    other = LeftProcess(8, "epmd -daemon", frozenset({"epmd"}))
    left = [*story.body.left(), other]
    story.body.left = lambda: left  # type: ignore[method-assign]
    story.ended(0)
    assert not story.life.clear()
    assert story.body.asked == ["kill 7"]
    story.life.obey({"op": "release"})
    assert story.life.clear()
    assert story.told[-1] == ("cleared", {"leaks": [(7, "sleep 1000")]})


def test_what_is_released_before_it_is_looked_at_does_not_stay() -> None:
    story = Story(in_s=None, may_leave=("sleep",))
    story.ended(0)
    story.life.obey({"op": "release"})
    assert story.life.clear()
    assert story.told[-1] == ("cleared", {"leaks": []})
