"""`testrium generate` runs a group with drawn arguments, and keeps the smallest that fails."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace

EXAMPLES = Path(__file__).parents[2] / "example_groups"
CODE = """
    from hypothesis import strategies as st
    from testrium import testing

    @testing.generate(st.just(7))
    def client(number):
        testrium.unit().probe("began", number=number)
        assert number < 7
"""
CLIENT = 'entrypoint = "test_case:client"'


def generate(workplace: Workplace, *arguments: str) -> Outcome:
    return workplace.finish(workplace.start("generate", "--plain", *arguments), limit_s=100)


def test_the_smallest_example_is_told_kept_and_replayed(workplace: Workplace) -> None:
    workplace.group({"client": CLIENT}, CODE)
    report = workplace.folder / "report.json"
    outcome = generate(workplace, "group", "--examples", "1", "--seed", "1", "--json", str(report))
    assert outcome.exit_code == 1, outcome.stdout + outcome.stderr
    told = json.loads(report.read_text())
    assert told["smallest"]["arguments"] == {"client": "7"}
    assert told["smallest"]["finding"]["where"] == "client:AssertionError"
    assert "    client: 7\n" in outcome.stdout
    again = workplace.finish(workplace.start("replay", "--plain", told["run"]), limit_s=60)
    assert again.exit_code == 1, again.stdout
    assert "exception at client:AssertionError" in again.stdout


def test_a_group_without_a_strategy_is_refused(workplace: Workplace) -> None:
    workplace.group({"client": CLIENT}, "def client(): pass")
    outcome = generate(workplace, "group")
    assert outcome.exit_code == 3
    assert "nothing to generate: no entrypoint of its units has" in outcome.stderr


KEPT_UP = """
    import os, socket
    from hypothesis import strategies as st
    from testrium import testing

    def service():
        me = testrium.unit()
        with open("noted", "a") as file:
            file.write("start ")
        with socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_TCP"]))) as server:
            me.probe("listens")
            while True:
                connection, _ = server.accept()
                with connection:
                    for line in connection.makefile():
                        asked = line.strip()
                        if asked == "3":
                            raise SystemExit(7)
                        if asked != "reset":
                            me.receive("done", key="k")
                        connection.sendall(line.encode())

    from back import asked

    @testing.generate(st.integers(0, MOST))
    def client(number):
        testrium.unit().send("asked", key="k")
        asked(number)
"""
# A module of its own is imported without Hypothesis.
BACK = """
    import os, socket

    def asked(text):
        address = ("127.0.0.1", int(os.environ["TESTRIUM_PORT_SERVICE_TCP"]))
        with socket.create_connection(address) as connection:
            connection.sendall(f"{text}\\n".encode())
            connection.makefile().readline()

    def reset():
        with open("noted", "a") as file:
            file.write("reset ")
        asked("reset")

    def reset_once():
        reset()
        with open("noted") as file:
            if file.read().count("reset") == 2:
                raise RuntimeError("no way back")
"""
SERVICE = """
    entrypoint = "test_case:service"
    ports = ["tcp"]
    ready_event = "listens"
    events = ["listens", "done"]
"""
ROUTE = """
    [[circuits]]
    name = "operation"
    route = ["client:asked", "service:done"]
    [generate]
    reset = "back:{reset}"
"""


def kept_up(workplace: Workplace, reset: str, most: int) -> None:
    units = {"service": SERVICE, "client": f'{CLIENT}\nunit_dependencies = ["service"]'}
    code = KEPT_UP.replace("MOST", str(most))
    workplace.group(units, code, tables=ROUTE.format(reset=reset), back=BACK)


def test_a_service_stays_up_until_its_reset_fails(workplace: Workplace) -> None:
    kept_up(workplace, "reset_once", most=2)
    outcome = generate(workplace, "group", "--seed", "1")
    assert outcome.exit_code == 3, outcome.stdout + outcome.stderr
    text = "[generate] reset = 'back:reset_once' failed after example 2"
    assert f"group: {text}: RuntimeError: no way back" in outcome.stderr
    assert outcome.stdout.splitlines()[1:] == ["between examples back:reset_once resets service"], (
        "each example has the key once, and passes"
    )
    assert (workplace.folder / "group" / "noted").read_text() == "start reset reset "


@pytest.mark.soak
def test_a_service_that_an_example_ends_is_started_again(workplace: Workplace) -> None:
    kept_up(workplace, "reset", most=3)
    report = workplace.folder / "report.json"
    outcome = generate(workplace, "group", "--seed", "1", "--json", str(report))
    assert outcome.exit_code == 1, outcome.stdout + outcome.stderr
    told = json.loads(report.read_text())
    assert told["kept_up"] == ["service"]
    assert told["smallest"]["arguments"] == {"client": "3"}
    assert told["smallest"]["finding"]["where"] == "service"
    again = workplace.finish(workplace.start("replay", "--plain"), limit_s=60)
    assert "crash at service" in again.stdout


def test_units_on_other_hosts_are_refused(workplace: Workplace) -> None:
    tables = '[hosts.edge]\nconnect = ["sh"]'
    workplace.group({"client": f'{CLIENT}\nhost = "edge"'}, CODE, tables=tables)
    for command in ("generate", "explore"):
        outcome = workplace.finish(workplace.start(command, "group"))
        assert outcome.exit_code == 3
        told = f"group: client runs on host 'edge': {command} needs all units on this machine"
        assert told in outcome.stderr


BRANCHES = """
    import os
    from pathlib import Path
    from hypothesis import strategies as st
    from testrium import testing

    @testing.generate(st.integers(0, 9))
    def client(number):
        me = testrium.unit()
        me.probe("began")
        if number > 3:
            me.probe("half")

    def seller(number):
        me, seat = testrium.unit(), Path(os.environ["TESTRIUM_RUN_DIR"], "taken")
        me.probe("asked")
        free = not seat.exists()
        me.probe("looked")
        if free and number > 3:
            seat.touch()
            me.probe("sold")

    drawn = testing.generate(st.integers(0, 9))(seller)

    def other():
        seller(9)
"""
FAULT = """
    [[faults]]
    at = "client:{step}"
    do = "{do}"
"""


@pytest.mark.soak
def test_an_example_is_told_with_the_faults_that_it_needs(workplace: Workplace) -> None:
    faults = FAULT.format(step="began", do="delay") + 'for = "20ms"'
    faults += FAULT.format(step="half", do="raise")
    workplace.group({"client": CLIENT}, BRANCHES, tables=faults)
    report = workplace.folder / "report.json"
    outcome = generate(workplace, "group", "--seed", "1", "--json", str(report))
    assert outcome.exit_code == 1, outcome.stdout + outcome.stderr
    smallest = json.loads(report.read_text())["smallest"]
    assert smallest["arguments"] == {"client": "4"}
    assert smallest["faults"] == [{"at": "client:half", "do": "raise"}]
    assert "under 1 of 2 faults:\n    raise at client:half\n" in outcome.stdout
    again = workplace.finish(workplace.start("replay", "--plain"), limit_s=60)
    assert again.exit_code == 1, "a fault that did not happen would be another finding"


@pytest.mark.soak
def test_an_example_is_told_with_the_order_that_it_needs(workplace: Workplace) -> None:
    units = {"a": 'entrypoint = "test_case:drawn"', "b": 'entrypoint = "test_case:other"'}
    circuit = """
        [[circuits]]
        name = "seat"
        route = ["*:asked{2}", "*:sold"]
        per = "run"
        [explore]
        hold = "10s"
    """
    workplace.group(units, BRANCHES, tables=circuit)
    report = workplace.folder / "report.json"
    outcome = generate(workplace, "group", "--seed", "1", "--explore", "--json", str(report))
    assert outcome.exit_code == 1, outcome.stdout + outcome.stderr
    smallest = json.loads(report.read_text())["smallest"]
    assert smallest["arguments"] == {"a": "4"}
    assert 1 <= len(smallest["order"]) <= 3, smallest
    again = workplace.finish(workplace.start("replay", "--plain"), limit_s=60)
    assert again.exit_code == 1, again.stdout


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_bug_of_three_operations_is_shrunk_to_three(workplace: Workplace) -> None:
    """In at least 9 of 10 seeds, each with an empty database of examples."""
    smallest = []
    for seed in range(1, 11):
        folder = workplace.folder / f"seed-{seed}"
        shutil.copytree(EXAMPLES / "stock_operations", folder)
        config = folder / "config.toml"
        config.write_text(config.read_text().replace('FORGETS = "no"', 'FORGETS = "yes"'))
        report = workplace.folder / "report.json"
        options = ("--seed", str(seed), "--json", str(report), "--plain")
        generating = workplace.start("generate", folder.name, *options)
        assert workplace.finish(generating, limit_s=900).exit_code == 1
        told = json.loads(report.read_text())["smallest"]["arguments"]["client"]
        smallest.append(ast.literal_eval(told))
    assert sum(len(operations) == 3 for operations in smallest) >= 9, smallest
