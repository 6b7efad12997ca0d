"""`[[faults]]` at probes: what is done, to whom, when, and what a report says of it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.record.reader import load_evidence

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Outcome, Workplace

#: A worker that takes what is left to do, and says after each piece that it is done.
WORKER = """
    from pathlib import Path

    def worker():
        me = testrium.unit()
        done = Path("done.txt")
        done.touch()
        for key in ("k1", "k2", "k3"):
            if key not in done.read_text():
                with done.open("a") as file:
                    file.write(key)
                me.probe("did", key=key)
        me.probe("finished")
"""


def faulty(workplace: Workplace, fault: str, *, keys: str = "", code: str = WORKER) -> Outcome:
    """A run of a group with one worker and this fault at its probe `did`."""
    workplace.group(
        {"worker": f'entrypoint = "test_case:worker"\n{keys}'},
        code,
        tables=f'[[faults]]\nat = "worker:did"\n{fault}\n',
    )
    return workplace.run()


@pytest.mark.parametrize("do", ["kill", "exit", "raise"])
def test_an_end_that_the_unit_recovers_from(workplace: Workplace, do: str) -> None:
    outcome = faulty(workplace, f'do = "{do}"\non = 2', keys='in-except = "Reload"')
    assert outcome.codes == []
    assert outcome.exit_code == 0
    assert outcome.unit("worker")["starts"] == 2
    (mark,) = outcome.group["faults"]
    assert (mark["name"], mark["do"], mark["unit"]) == (f"{do} at worker:did", do, "worker")
    assert (mark["key"], mark["start"]) == ("k2", 1)


@pytest.mark.parametrize(
    ("do", "code", "signal", "exit_code"),
    [
        ("kill", "crash worker", "SIGKILL", None),
        ("exit", "crash worker", None, 2),  # the first that is not accepted
        ("raise", "exception worker:InjectedFault", None, 1),
    ],
)
def test_an_end_for_good(
    workplace: Workplace, do: str, code: str, signal: str | None, exit_code: int | None
) -> None:
    accepted = "exit = [0, 1]" if do == "exit" else ""
    outcome = faulty(workplace, f'do = "{do}"', keys=f'events = ["finished"]\n{accepted}')
    assert outcome.exit_code == 1
    assert outcome.codes == [code, "missing worker:finished"]
    finding = outcome.group["findings"][0]
    assert finding["explained_by"] == f"fault {do} at worker:did"
    assert finding["hints"][-1].startswith(f"planned by [[faults]]: {do} at worker:did; ")
    unit = outcome.unit("worker")
    assert (unit["signal"], unit["exit_code"]) == (signal, exit_code)
    assert unit["fault"] == f"{do} at worker:did"
    assert (workplace.folder / "group" / "done.txt").read_text() == "k1"
    assert f"injected {do} at worker:did" in outcome.stdout


def test_a_restarted_unit_is_not_hit_again(workplace: Workplace) -> None:
    forgetful = """
        def worker():
            me = testrium.unit()
            me.probe("did")
            me.probe("did")
    """
    keys = 'in-except = "Reload"\nrestarts = 5'
    outcome = faulty(workplace, 'do = "kill"\non = 2', keys=keys, code=forgetful)
    assert outcome.exit_code == 0
    assert outcome.unit("worker")["starts"] == 2


def test_one_key(workplace: Workplace) -> None:
    outcome = faulty(workplace, 'do = "kill"\nkey = "k3"')
    assert outcome.codes == ["crash worker"]
    assert [mark["key"] for mark in outcome.group["faults"]] == ["k3"]
    assert (workplace.folder / "group" / "done.txt").read_text() == "k1k2k3"


@pytest.mark.parametrize("do", ["delay", "hang", "pause"])
def test_a_time_without_an_answer(workplace: Workplace, do: str) -> None:
    timed = """
        import time

        def worker():
            me = testrium.unit()
            before = time.monotonic()
            me.probe("did")
            me.probe("late", took=time.monotonic() - before)
    """
    outcome = faulty(workplace, f'do = "{do}"\nfor = "300ms"', code=timed)
    assert outcome.codes == []
    evidence = load_evidence(run_dir(outcome) / "Data.db")
    assert evidence.events[-1].step == "late"
    assert evidence.events[-1].meta["took"] >= 0.3
    assert evidence.faults[0].meta["for_ns"] == 300_000_000


@pytest.mark.parametrize("do", ["hang", "pause"])
def test_for_ever(workplace: Workplace, do: str) -> None:
    outcome = faulty(workplace, f'do = "{do}"', keys="timeout = 0.5")
    assert outcome.codes == ["hang worker"]
    assert outcome.group["findings"][0]["explained_by"] == f"fault {do} at worker:did"


def test_the_classic_api_obeys(workplace: Workplace) -> None:
    classic = """
        from testrium.modules.events import Events_Manager

        def worker():
            Events_Manager(Unit="worker", path=".").Set_Event("did")
    """
    outcome = faulty(workplace, 'do = "raise"', code=classic)
    assert outcome.codes == ["exception worker:InjectedFault"]


def test_what_is_caught_is_over(workplace: Workplace) -> None:
    code = """
        def worker():
            try:
                testrium.unit().probe("did")
            except testrium.InjectedFault as error:
                testrium.unit().probe("caught", said=str(error))
    """
    outcome = faulty(workplace, 'do = "raise"', code=code)
    assert outcome.codes == []
    caught = load_evidence(run_dir(outcome) / "Data.db").events[-1]
    assert caught.meta["said"] == "raise at worker:did"


def test_threads_tasks_and_forked_children_are_counted_together(workplace: Workplace) -> None:
    code = """
        import asyncio, os, threading

        def worker():
            me = testrium.unit()
            me.probe("did")
            thread = threading.Thread(target=me.probe, args=("did",))
            thread.start()
            thread.join()
            async def task():
                me.probe("did")
            asyncio.run(task())
            child = os.fork()
            if child == 0:
                me.probe("did")
                os._exit(0)
            os.waitpid(child, 0)
            me.probe("after")
    """
    outcome = faulty(workplace, 'do = "exit"\non = 4', code=code)
    assert outcome.codes == []  # the child has ended, and not the unit
    (mark,) = outcome.group["faults"]
    events = load_evidence(run_dir(outcome) / "Data.db").events
    child = next(event for event in events if event.pid != outcome.unit("worker")["pid"])
    assert mark["pid"] == child.pid


@pytest.mark.parametrize("count", [1, 7, 40])
def test_many_processes_count_exactly(workplace: Workplace, count: int) -> None:
    code = """
        import os

        def worker():
            me = testrium.unit()
            children = []
            for _ in range(8):
                child = os.fork()
                if child == 0:
                    for _ in range(5):
                        me.probe("did")
                    os._exit(0)
                children.append(child)
            codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            me.probe("ended", codes=codes)
    """
    outcome = faulty(workplace, f'do = "exit"\non = {count}', code=code)
    assert outcome.codes == []
    evidence = load_evidence(run_dir(outcome) / "Data.db")
    assert sorted(evidence.events[-1].meta["codes"]) == [0] * 7 + [1]
    did = [event.id for event in evidence.events if event.step == "did"]
    assert evidence.faults[0].meta["event"] == did[count - 1]


def test_another_program_is_killed(workplace: Workplace) -> None:
    workplace.group(
        {
            "worker": 'command = ["sh", "-c", "echo did; exec sleep 60"]\n'
            '[["worker".probes]]\nlog = "did"\nstep = "did"'
        },
        tables='[[faults]]\nat = "worker:did"\ndo = "kill"\n',
    )
    outcome = workplace.run()
    assert outcome.codes == ["crash worker"]
    assert outcome.unit("worker")["signal"] == "SIGKILL"
    assert outcome.unit("worker")["fault"] == "kill at worker:did"


def test_another_program_is_paused(workplace: Workplace) -> None:
    line = """echo '{"step": "did"}' >> "$TESTRIUM_PROBES"; sleep 60"""
    command = json.dumps(["sh", "-c", line])
    workplace.group(
        {"worker": f"command = {command}\ntimeout = 0.5"},
        tables='[[faults]]\nat = "worker:did"\ndo = "pause"\n',
    )
    outcome = workplace.run()
    assert outcome.codes == ["hang worker"]
    assert outcome.group["findings"][0]["explained_by"] == "fault pause at worker:did"


def test_what_never_happens_is_found(workplace: Workplace) -> None:
    outcome = faulty(workplace, 'do = "kill"\non = 4\nname = "fourth"')
    assert outcome.exit_code == 1
    assert outcome.codes == ["vacuous fourth"]
    assert outcome.group["findings"][0]["hints"] == ["worker:did was emitted 3 times, and on = 4"]
    assert outcome.group["faults"] == []


def test_a_stored_run_is_judged_again(workplace: Workplace) -> None:
    outcome = faulty(workplace, 'do = "kill"\non = 2', keys='in-except = "Reload"')
    assert outcome.exit_code == 0
    again = workplace.finish(workplace.start("verify"))
    assert again.exit_code == 0
    config = workplace.folder / "group" / "config.toml"
    config.write_text(config.read_text().replace("on = 2", 'on = 2\nname = "another"'))
    again = workplace.finish(workplace.start("verify"))
    assert again.exit_code == 1
    assert "vacuous at another" in again.stdout


def test_the_log_shows_it_where_it_happened(workplace: Workplace) -> None:
    faulty(workplace, 'do = "delay"\nfor = "1ms"\nkey = "k2"')
    timeline = workplace.finish(workplace.start("show", "--timeline", "--plain")).stdout
    rows = [row.split() for row in timeline.splitlines()]
    steps = [
        next((word for word in row if word in ("did", "faults", "finished")), "") for row in rows
    ]
    assert [step for step in steps if step] == ["did", "did", "faults", "did", "finished"]
    way = workplace.finish(workplace.start("show", "--key", "k1", "--plain")).stdout
    assert "faults" not in way


def test_a_group_without_faults_tells_its_units_nothing(workplace: Workplace) -> None:
    code = """
        import os

        def worker():
            testrium.unit().probe("env", names=[name for name in os.environ if "FAIL" in name])
    """
    workplace.env["TESTRIUM_FAILPOINTS"] = "worker:env"  # of a run around this one
    workplace.group({"worker": 'entrypoint = "test_case:worker"'}, code)
    outcome = workplace.run()
    assert load_evidence(run_dir(outcome) / "Data.db").events[0].meta["names"] == []


def test_the_circuit_starts_again(workplace: Workplace) -> None:
    keys = 'in-except = "Resume-ALL"\nevents = ["finished"]'
    outcome = faulty(workplace, 'do = "kill"\non = 2', keys=keys)
    assert outcome.codes == []
    assert (outcome.unit("worker")["starts"], outcome.unit("worker")["attempt"]) == (2, 2)
    assert [mark["attempt"] for mark in outcome.group["faults"]] == [1]


def test_a_unit_that_dies_before_it_is_ready_is_started_again(workplace: Workplace) -> None:
    keys = 'in-except = "Reload"\nready_event = "did"'
    code = """
        def worker():
            testrium.unit().probe("woke")
            testrium.unit().probe("did")
    """
    workplace.group(
        {"worker": f'entrypoint = "test_case:worker"\n{keys}'},
        code,
        tables='[[faults]]\nat = "worker:woke"\ndo = "exit"\n',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.unit("worker")["starts"] == 2


def test_a_unit_without_a_process_is_struck_where_its_probe_comes_from(
    workplace: Workplace,
) -> None:
    code = """
        def worker():
            testrium.unit("db").probe("stored")
            testrium.unit().probe("did")
    """
    workplace.group(
        {"worker": 'entrypoint = "test_case:worker"\nin-except = "Reload"', "db": ""},
        code,
        tables='[[faults]]\nat = "db:stored"\ndo = "kill"\n',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.unit("worker")["starts"] == 2
    assert [mark["unit"] for mark in outcome.group["faults"]] == ["worker"]


def test_a_probe_is_asked_about_until_its_last_fault_has_struck(workplace: Workplace) -> None:
    code = """
        from testrium.probe import waiting

        def worker():
            me = testrium.unit()
            asked, ask = [], waiting.ask
            waiting.ask = lambda question: asked.append(question) or ask(question)
            for _ in range(50):
                me.probe("did")
            waiting.ask = ask
            me.probe("asked", times=len(asked))
    """
    outcome = faulty(workplace, 'do = "delay"\nfor = "1ms"\non = 3', code=code)
    assert outcome.codes == []
    assert load_evidence(run_dir(outcome) / "Data.db").events[-1].meta["times"] == 3


def test_the_scenario_that_is_kept_says_what_was_planned(workplace: Workplace) -> None:
    outcome = faulty(workplace, 'do = "delay"\nfor = "1ms"\nkey = "k2"')
    kept = tomllib.loads((run_dir(outcome) / "scenario.toml").read_text())
    (fault,) = kept["group"]["faults"]
    assert (fault["name"], fault["at"], fault["key"]) == (
        "delay at worker:did",
        "worker:did",
        "k2",
    )


def run_dir(outcome: Outcome) -> Path:
    return Path(outcome.group["run_dir"])
