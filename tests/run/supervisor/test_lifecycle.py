"""The life of a unit without a process: what is asked of its body, and when."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from testrium.run.supervisor.lifecycle import UnitLifecycle
from testrium.run.supervisor.protocol import Launch

NOWHERE = Path("/nowhere")
TERM = 15


class Body:
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def stop(self, number: int) -> None:
        self.asked.append(f"stop {number}")

    def kill_session(self) -> None:
        self.asked.append("kill session")

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def kill_all(self) -> None:
        self.asked.append("kill all")

    def dump_stacks(self) -> None:
        self.asked.append("stacks")

    def left(self) -> list[tuple[int, str]]:
        return [(7, "sleep 1000")]

    def clear(self) -> None:
        self.asked.append("clear")


class Story:
    """A life from its start, with the time that its deadline is away."""

    def __init__(self, in_s: float | None, *, command: tuple[str, ...] | None = None) -> None:
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
    assert story.body.asked == ["stacks", f"stop {TERM}"]
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
    assert story.body.asked == [f"stop {TERM}"]


def test_a_unit_that_stands_still_is_overdue_all_the_same() -> None:
    story = Story(in_s=0)
    story.life.obey({"op": "pause", "for_ns": None})
    story.life.check_time()
    assert story.body.asked == ["pause", "stacks", f"stop {TERM}"]
    assert story.ended()["overdue"]


def test_a_pause_ends_after_its_time() -> None:
    story = Story(in_s=None)
    story.life.obey({"op": "pause", "for_ns": 0})
    story.life.check_time()
    assert story.body.asked == ["pause", "resume"]
    assert story.life.next_ns is None


def test_who_is_stopped_is_not_resumed_but_killed_after_the_grace() -> None:
    story = Story(in_s=1000)
    story.life.obey({"op": "pause", "for_ns": 0})
    story.life.obey({"op": "stop", "signal": 2, "grace_ns": 0, "stacks": False})
    story.life.check_time()
    assert story.body.asked == ["pause", "stop 2", "kill session"]
    end = story.ended(-9)
    assert (end["stopped"], end["overdue"]) == (True, False)


def test_after_its_end_there_is_nothing_to_obey() -> None:
    story = Story(in_s=1000)
    story.ended(0)
    for message in (
        {"op": "stop", "signal": 2, "grace_ns": 0, "stacks": True},
        {"op": "kill"},
        {"op": "crash"},
        {"op": "pause", "for_ns": None},
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
