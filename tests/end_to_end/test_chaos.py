"""`testrium chaos`: a campaign finds the fault that a group does not survive."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace

EXAMPLES = Path(__file__).resolve().parents[2] / "example_groups"

#: Survives everything but a kill at its third probe `did`: it does that one only once.
CODE = """
    import os
    from pathlib import Path

    def worker():
        me = testrium.unit()
        me.probe("ready")
        memory = Path(os.environ["TESTRIUM_RUN_DIR"], "memory.txt")
        if memory.exists() and memory.read_text() == "3":
            return
        for number in range(1, 5):
            memory.write_text(str(number))
            me.probe("did")
        memory.unlink()
        me.probe("finished")
"""
WORKER = """
    entrypoint = "test_case:worker"
    ready_event = "ready"
    events = ["finished"]
    in-except = "Reload"
    restarts = 2
"""


def fragile(workplace: Workplace, chaos: str = 'do = ["kill", "delay"]') -> Path:
    tables = f'[chaos]\nunits = ["worker"]\nlongest = "20ms"\n{chaos}\n'
    return workplace.group({"worker": WORKER}, CODE, tables=tables)


def chaos(workplace: Workplace, *arguments: str) -> Outcome:
    return workplace.finish(workplace.start("chaos", "--plain", *arguments), limit_s=100)


def drawn(outcome: Outcome) -> list[str]:
    """The plans, in their order."""
    return re.findall(r"^ *\d+/\d+  (?:ok|BROKE|idle) +(.*)$", outcome.stdout, re.MULTILINE)


def test_the_smallest_plan_is_found_and_can_be_pasted(workplace: Workplace) -> None:
    group = fragile(workplace)
    outcome = chaos(workplace, "group", "--seed", "244", "--runs", "1")
    assert outcome.exit_code == 1, outcome.stdout
    pasted = re.search(r"^    \[\[faults\]\]\n(?:    .*\n)+", outcome.stdout, re.MULTILINE)
    assert pasted is not None, outcome.stdout
    lines = [line.strip() for line in pasted[0].splitlines()]
    assert lines == ["[[faults]]", 'at = "worker:did"', 'do = "kill"', "on = 3"]
    assert "missing at worker:finished" in outcome.stdout
    assert drawn(outcome) == ["kill at worker:did, on = 3; delay at worker:finished, for = 20ms"]
    assert outcome.stdout.endswith("1 of 1 plan broke the circuit (seed 244)\n")
    assert not (workplace.folder / ".testrium" / "runs").exists()
    config = group / "config.toml"
    config.write_text(config.read_text() + "\n".join(lines) + "\n")
    again = workplace.run()
    assert again.codes == ["missing worker:finished"]
    assert [mark["name"] for mark in again.group["faults"]] == ["kill at worker:did"]


def test_a_campaign_as_json(workplace: Workplace) -> None:
    fragile(workplace)
    outcome = chaos(workplace, "group", "--seed", "244", "--runs", "1", "--json", "-")
    assert outcome.exit_code == 1
    assert "1 of 1 plan broke the circuit (seed 244)" in outcome.stderr
    told = json.loads(outcome.stdout)
    assert told["command"] == "testrium chaos group --seed 244 --runs 1"
    figures = ("verdict", "exit_code", "seed", "runs", "tried", "broken", "errors")
    assert [told[name] for name in figures] == ["fail", 1, 244, 1, 1, 1, []]
    baseline = told["baseline"]
    assert (baseline["group"], baseline["links"]) == ("group", [])
    assert baseline["probes"] == ["worker:did", "worker:finished", "worker:ready"]
    (plan,) = told["plans"]
    assert (plan["number"], plan["outcome"], plan["same_as"]) == (1, "broke", None)
    assert plan["faults"] == [
        {"at": "worker:did", "do": "kill", "on": 3},
        {"at": "worker:finished", "do": "delay", "for": "20ms"},
    ]
    assert (plan["finding"]["code"], plan["finding"]["where"]) == ("missing", "worker:finished")
    assert Path(plan["run_dir"], "Data.db").exists()
    (found,) = told["breaks"]
    assert (found["plan"], found["faults"]) == (1, plan["faults"][:1])
    assert tomllib.loads(found["toml"]) == {"faults": found["faults"]}


def test_a_campaign_that_cannot_begin_as_json(workplace: Workplace) -> None:
    workplace.group({"worker": WORKER}, CODE)
    outcome = chaos(workplace, "group", "--seed", "1", "--json", "told.json")
    assert outcome.exit_code == 3
    told = json.loads((workplace.folder / "told.json").read_text())
    assert (told["verdict"], told["exit_code"], told["baseline"], told["plans"]) == (
        "error",
        3,
        None,
        [],
    )
    (error,) = told["errors"]
    assert "needs a table [chaos]" in error["message"]
    wrong = chaos(workplace, "group", "--json", "nowhere/told.json")
    assert wrong.exit_code == 3
    assert "--json: cannot write 'nowhere/told.json': the folder '" in wrong.stderr


def test_the_same_seed_draws_the_same_plans(workplace: Workplace) -> None:
    fragile(workplace, 'do = ["delay"]')
    first, second = (chaos(workplace, "group", "--seed", "7", "--runs", "2") for _ in range(2))
    assert first.exit_code == second.exit_code == 0
    assert len(drawn(first)) == 2
    assert drawn(first) == drawn(second)


@pytest.mark.soak
def test_a_bug_of_an_example(workplace: Workplace) -> None:
    """An order is acknowledged before it is stored: an ordinary run passes."""
    shutil.copytree(EXAMPLES / "ack_too_early", workplace.folder / "ack_too_early")
    assert workplace.run("ack_too_early").exit_code == 0
    outcome = chaos(workplace, "ack_too_early", "--seed", "235", "--runs", "1")
    assert outcome.exit_code == 1, outcome.stdout
    assert '    [[faults]]\n    at = "worker:taken"\n    do = "kill"\n\n' in outcome.stdout
    assert "lost at worker:stored" in outcome.stdout


def test_an_example_without_a_bug(workplace: Workplace) -> None:
    shutil.copytree(EXAMPLES / "retry_survives_kill", workplace.folder / "retry_survives_kill")
    outcome = chaos(workplace, "retry_survives_kill", "--seed", "13", "--runs", "3")
    assert outcome.exit_code == 0, outcome.stdout
    assert outcome.stdout.endswith("3 plans tried, none broke the circuit (seed 13)\n")
    assert [plan.partition(",")[0] for plan in drawn(outcome)] == [
        "exit at worker:taken",
        "exit at worker:taken",
        "raise at worker:taken",
    ]


def test_links(workplace: Workplace) -> None:
    group = workplace.folder / "retry_survives_kill"
    shutil.copytree(EXAMPLES / "retry_survives_kill", group)
    config = group / "config.toml"
    chaos_table = '[chaos]\nlinks = ["broker.tcp"]\ndo = ["latency"]\n'
    config.write_text(config.read_text().partition("[chaos]")[0] + chaos_table)
    outcome = chaos(workplace, "retry_survives_kill", "--seed", "1", "--runs", "2")
    assert outcome.exit_code == 0, outcome.stdout
    assert "0 probes and 1 link may be broken" in outcome.stdout
    assert len(re.findall(r"^\d/2  ok +latency on broker.tcp", outcome.stdout, re.MULTILINE)) == 2


def test_few_plans(workplace: Workplace) -> None:
    fragile(workplace, 'do = ["delay"]\nbudget = 1')
    outcome = chaos(workplace, "group", "--runs", "40", "--seed", "1")
    assert outcome.exit_code == 0
    assert len(drawn(outcome)) == 6  # ready, did four times, finished
    assert "only 6 different plans exist" in outcome.stdout


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "group does not say what may be broken: config.toml needs a table [chaos]"),
        ("[chaos]\nunits = ['worker']\ndo = ['cut']", "allows nothing that could be broken"),
    ],
)
def test_nothing_to_break(workplace: Workplace, config: str, message: str) -> None:
    workplace.group({"worker": WORKER}, CODE, tables=config)
    outcome = chaos(workplace, "group")
    assert outcome.exit_code == 3
    assert message in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_group_that_does_not_pass(workplace: Workplace) -> None:
    code = "def worker():\n    testrium.unit().probe('did')\n    raise ValueError"
    tables = "[chaos]\nunits = ['worker']"
    workplace.group({"worker": 'entrypoint = "test_case:worker"'}, code, tables=tables)
    outcome = chaos(workplace, "group")
    assert outcome.exit_code == 3
    assert "does not pass even with nothing broken: exception at worker:V" in outcome.stderr


def test_several_groups(workplace: Workplace) -> None:
    fragile(workplace)
    workplace.group({"worker": WORKER}, CODE, name="other")
    outcome = chaos(workplace)
    assert outcome.exit_code == 3
    assert "a campaign is for one group, and . has more: group, other" in outcome.stderr


def test_it_can_be_interrupted(workplace: Workplace) -> None:
    code = """
        def worker():
            me = testrium.unit()
            me.probe("ready")
            me.wait_for("nobody:nothing")
    """
    tables = '[chaos]\nunits = ["worker"]\n'
    workplace.group({"worker": 'entrypoint = "test_case:worker"'}, code, tables=tables)
    process = workplace.start("chaos", "group")
    runs = workplace.folder / ".testrium" / "chaos" / "runs"
    while not list(runs.glob("*/group/units/worker/probes-1.jsonl")):
        assert process.poll() is None
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    assert workplace.finish(process).exit_code == 130
