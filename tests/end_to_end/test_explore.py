"""`testrium explore` finds the order in which a seat is sold twice; `replay` repeats it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace

CODE = """
    import os
    from pathlib import Path

    SEAT = Path(os.environ["TESTRIUM_RUN_DIR"], "taken")

    def clerk():
        me = testrium.unit()
        me.probe("asked")
        free = not SEAT.exists()
        me.probe("looked")
        if free:
            SEAT.touch()
            me.probe("sold")
"""
CLERK = 'entrypoint = "test_case:clerk"'
TABLES = """
    [[circuits]]
    name = "seat"
    route = ["*:asked{2}", "*:sold"]
    per = "run"

    [explore]
    depth = 1
    hold = "10s"
"""


def explore(workplace: Workplace, *arguments: str) -> Outcome:
    return workplace.finish(workplace.start("explore", "--plain", *arguments), limit_s=100)


def replay(workplace: Workplace, *arguments: str) -> Outcome:
    return workplace.finish(workplace.start("replay", "--plain", *arguments), limit_s=60)


def test_a_race_is_found_told_and_repeated_and_a_run_leaves_its_order(
    workplace: Workplace,
) -> None:
    group = workplace.group({"a": CLERK, "b": CLERK}, CODE, tables=TABLES)
    report = workplace.folder / "found.json"
    outcome = explore(
        workplace, "group", "--seed", "11", "--runs", "6", "-x", "--json", str(report)
    )
    assert outcome.exit_code == 1, outcome.stdout
    found = json.loads(report.read_text())
    (race,) = found["found"]
    assert (found["verdict"], found["baseline"]["verdict"]) == ("fail", "pass")
    assert (race["finding"]["code"], race["finding"]["where"]) == ("duplicate", "*:sold")
    assert len(race["decisions"]) == 1, race
    assert all(line in outcome.stdout for line in race["order"])
    assert f"testrium replay {race['run']}" in outcome.stdout
    again = replay(workplace)
    assert again.exit_code == 1, again.stdout
    assert f"repeats run {race['run']}" in again.stdout
    config, code = group / "config.toml", group / "test_case.py"
    config.write_text(config.read_text().replace('"*:asked{2}", "*:sold"', '"*:begun{2}"'))
    code.write_text(code.read_text().replace('"asked"', '"begun"').replace('"looked"', '"saw"'))
    changed = replay(workplace, race["run"])
    assert changed.exit_code == 4, changed.stdout
    assert "undecided at" in changed.stdout
    assert "was not reached, which the schedule holds until" in changed.stdout


QUEUE = """
    import os, select, socket

    def queue():
        me = testrium.unit()
        server = socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_TCP"])))
        me.probe("listens")
        got, opened = [], [server]
        while len(got) < 2:
            for one in select.select(opened, [], [])[0]:
                if one is server:
                    opened.append(server.accept()[0])
                elif data := one.recv(100):
                    got.append(data)
                    me.probe("got")
                else:
                    opened.remove(one)
        assert got == [b"first", b"second"], got

    def send():
        me = testrium.unit()
        if me.name == "second":
            me.wait_for("first:sent")
        port = int(os.environ["TESTRIUM_PORT_QUEUE_TCP"])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(me.name.encode())
            me.probe("sent")
"""


def test_a_message_on_a_link_is_overtaken(workplace: Workplace) -> None:
    send = 'entrypoint = "test_case:send"\nunit_dependencies = ["queue"]'
    queue = (
        'entrypoint = "test_case:queue"\nports = ["tcp"]\nready_event = "listens"\nstop = "self"'
    )
    units = {"queue": queue, "first": send, "second": send}
    tables = '[explore]\npoints = ["queue:*"]\nlinks = ["queue.tcp"]\ndepth = 0\nhold = "10s"\n'
    workplace.group(units, QUEUE, tables=tables)
    report = workplace.folder / "found.json"
    outcome = explore(workplace, "group", "--seed", "11", "-x", "--json", str(report))
    assert outcome.exit_code == 1, outcome.stdout
    (race,) = json.loads(report.read_text())["found"]
    assert {"queue.tcp/1.in:message"} == {one["held"] for one in race["decisions"]}, race


@pytest.mark.parametrize(
    ("points", "command", "message"),
    [
        ('["a:nothing"]', ("explore", "group"), 'no point was reached: points = ["a:nothing"]'),
        ('["*:*"]', ("explore", "nowhere"), "nowhere"),
        ('["*:*"]', ("replay",), "no run is kept in"),
    ],
)
def test_what_cannot_be_explored_is_refused(
    workplace: Workplace, points: str, command: tuple[str, ...], message: str
) -> None:
    tables = f"[explore]\npoints = {points}\n"
    workplace.group({"a": CLERK}, CODE, tables=tables)
    outcome = workplace.finish(workplace.start(*command), limit_s=60)
    assert outcome.exit_code == 3
    assert message in outcome.stderr
