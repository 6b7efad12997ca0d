"""What a process does at a failpoint."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import testrium
from testrium.probe import environment as names
from testrium.probe import waiting
from testrium.probe.emitter import Emitter

if TYPE_CHECKING:
    from pathlib import Path

    from tests.probe.conftest import Lines


class Runner:
    """Answers every question with these acts."""

    def __init__(self) -> None:
        self.questions: list[dict[str, Any]] = []
        self.acts: list[dict[str, Any]] = []
        self.gone = False
        self.over = False

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        self.questions.append(question)
        if self.gone:
            raise RuntimeError(waiting.ENDED)
        return {"acts": self.acts, "over": self.over}


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    runner = Runner()
    monkeypatch.setattr(waiting, "ask", runner.ask)
    monkeypatch.setenv(names.FAILPOINTS, "source:taken\nother:stored")
    return runner


@pytest.fixture
def emitter(runner: Runner, probes: Path) -> Emitter:
    return Emitter(str(probes), "")


def test_only_failpoints_are_asked_about(emitter: Emitter, runner: Runner, probes: Path) -> None:
    emitter.emit("left", "Default", None, (), {})
    emitter.emit("taken", "Send", "k", (), {})
    emitter.emit("taken", "Default", None, (), {}, "other")
    emitter.emit("stored", "Default", None, (), {}, "other")
    file, pid = str(probes), os.getpid()
    thread = ("", threading.get_native_id())  # the main one has no name
    assert runner.questions == [
        {"op": "reached", "place": place, "file": file, "pid": pid, "seq": seq, "thread": thread}
        for place, seq in (("source:taken", 2), ("other:stored", 4))
    ]


def test_what_is_over_is_not_asked_about_again(emitter: Emitter, runner: Runner) -> None:
    emitter.emit("taken", "Default", None, (), {})
    runner.over = True
    for _ in range(3):
        emitter.emit("taken", "Default", None, (), {})
    assert len(runner.questions) == 2


def test_the_probe_is_written_first(emitter: Emitter, runner: Runner, lines: Lines) -> None:
    runner.acts = [{"do": "raise", "fault": "raise at source:taken"}]
    with pytest.raises(testrium.InjectedFault, match="raise at source:taken"):
        emitter.emit("taken", "Default", None, (), {})
    assert [line["step"] for line in lines()] == ["taken"]


@pytest.mark.parametrize("do", ["delay", "hang"])
def test_a_time(emitter: Emitter, runner: Runner, do: str) -> None:
    runner.acts = [{"do": do, "for_ns": 20_000_000, "fault": ""}] * 2
    before = time.monotonic()
    emitter.emit("taken", "Default", None, (), {})
    assert time.monotonic() - before >= 0.04


def test_an_exit_keeps_what_was_printed(emitter: Emitter, runner: Runner, tmp_path: Path) -> None:
    runner.acts = [{"do": "exit", "code": 7, "fault": ""}]
    out = tmp_path / "out"
    child = os.fork()
    if child == 0:
        import sys

        sys.stdout = out.open("w")
        sys.stdout.write("printed\n")
        emitter.emit("taken", "Default", None, (), {})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert out.read_text() == "printed\n"


def test_without_a_runner_nothing_is_broken(emitter: Emitter, runner: Runner) -> None:
    runner.gone = True
    emitter.emit("taken", "Default", None, (), {})
    assert len(runner.questions) == 1


def test_an_uncaught_exception_does_not_trigger_a_failpoint(
    emitter: Emitter, runner: Runner
) -> None:
    emitter.emit("taken", "Exception", None, (), {"uncaught": "main"})
    assert runner.questions == []


def test_no_failpoints_no_questions(probes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner()
    monkeypatch.setattr(waiting, "ask", runner.ask)
    monkeypatch.delenv(names.FAILPOINTS, raising=False)
    Emitter(str(probes), "").emit("taken", "Default", None, (), {})
    assert runner.questions == []
