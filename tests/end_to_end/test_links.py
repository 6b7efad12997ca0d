"""Links of whole groups, through the command line: who reaches whom, and what is kept of it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Outcome, Workplace

SERVER = """
import os, signal, socket, threading, time

def converse(wire):
    with wire:
        while data := wire.recv(65536):
            wire.sendall(data)

def serve():
    server = socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_TCP"])))
    testrium.unit().probe("listening")
    while True:
        threading.Thread(target=converse, args=(server.accept()[0],), daemon=True).start()

def connect(limit_s=10):
    port = int(os.environ["TESTRIUM_PORT_API_TCP"])
    return socket.create_connection(("127.0.0.1", port), timeout=limit_s)
"""

API = 'entrypoint = "test_case:serve"\nports = ["tcp"]\nready_event = "listening"'
CLIENT = 'entrypoint = "test_case:client"\nunit_dependencies = ["api"]'


def marks(outcome: Outcome) -> list[tuple[str, dict[str, Any]]]:
    """What the store tells of faults: their names and facts, in the order of time."""
    with sqlite3.connect(Path(outcome.group["run_dir"], "Data.db")) as connection:
        rows = connection.execute(
            "SELECT StepCompleted, Metadata FROM Events WHERE Unit = 'faults' ORDER BY ID"
        ).fetchall()
    return [(name, json.loads(facts)) for name, facts in rows]


def test_everybody_but_the_unit_itself_gets_the_link(workplace: Workplace) -> None:
    workplace.group(
        {
            "api": API + '\nenv = {OWN = "${port.tcp} ${unit.api.port.tcp}"}',
            "client": CLIENT + '\nenv = {OTHER = "${unit.api.port.tcp}"}',
            "apart": """
            entrypoint = "test_case:apart"
            ports = ["tcp"]
            ready = {tcp = "${port.tcp}"}
            """,
        },
        SERVER
        + """
def own_ports():
    text = f"{os.environ['TESTRIUM_PORT_TCP']} {os.environ['TESTRIUM_PORT_API_TCP']}"
    assert text == os.environ["OWN"]
    return text.split()

def client():
    link = os.environ["OTHER"]
    assert link == os.environ["TESTRIUM_PORT_API_TCP"]
    with connect() as wire:
        wire.sendall(b"x")
        assert wire.recv(1) == b"x"
    testrium.unit().probe("asked", link=link)

serve_only = serve
def serve():
    first, second = own_ports()
    assert first == second
    open("real", "w").write(first)
    serve_only()

def apart():
    own_server = socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_TCP"])))
    me = testrium.unit()
    event = me.wait_for("client:asked", timeout=8)
    assert event.meta["link"] == os.environ["TESTRIUM_PORT_API_TCP"] != open("real").read()
    me.probe("compared")

def test_link():
    assert os.environ["TESTRIUM_PORT_API_TCP"] != open("real").read()
    connect().close()
""",
        tables='[[faults]]\nlink = "api.tcp"\ndo = "latency"\nvalue = "1ms"',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.exit_code == 0


def test_latency_from_the_start_to_the_end_is_kept_with_what_it_met(workplace: Workplace) -> None:
    workplace.group(
        {"api": API, "client": CLIENT},
        SERVER
        + """
def client():
    with connect() as wire:
        started = time.monotonic()
        wire.sendall(b"x")
        assert wire.recv(1) == b"x"
        assert time.monotonic() - started >= 0.12
    testrium.unit().probe("done")
""",
        tables='[[faults]]\nlink = "api.tcp"\ndo = "latency"\nvalue = "60ms"\nname = "slow"',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    (first, begin), (second, end) = marks(outcome)
    assert (first, begin["phase"], begin["do"]) == ("slow", "begin", "latency")
    assert (second, end["phase"], end["connections"], end["bytes"]) == ("slow", "end", 1, 2)


def test_a_cut_begins_at_a_probe_and_heals(workplace: Workplace) -> None:
    workplace.group(
        {"api": API + "\nready_timeout = 5", "client": CLIENT},
        SERVER
        + """
def client():
    me = testrium.unit()
    wire = connect()
    wire.sendall(b"x")
    assert wire.recv(1) == b"x"
    started = time.monotonic()
    me.probe("cut-now")
    try:
        assert wire.recv(1) == b""
    except ConnectionResetError:
        pass
    me.probe("broken")
    while True:
        try:
            wire = connect()
            break
        except ConnectionRefusedError:
            time.sleep(0.005)
    assert time.monotonic() - started >= 0.3
    wire.sendall(b"y")
    assert wire.recv(1) == b"y"
    me.probe("healed")
""",
        tables="""
        [[faults]]
        link = "api.tcp"
        do = "cut"
        after = "client:cut-now"
        for = "300ms"
        [[circuits]]
        name = "outage"
        route = ["client:cut-now", "client:broken", "client:healed"]
        per = "run"
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert [facts["phase"] for _, facts in marks(outcome)] == ["begin", "end"]
    assert marks(outcome)[1][1]["broken"] == 1


def test_readiness_does_not_go_through_the_link(workplace: Workplace) -> None:
    workplace.group(
        {
            "api": 'entrypoint = "test_case:serve"\nports = ["tcp"]\nready = {tcp = "${port.tcp}"}',
            "client": CLIENT,
        },
        SERVER
        + """
def client():
    try:
        connect()
    except ConnectionRefusedError:
        testrium.unit().probe("refused")
""",
        tables='[[faults]]\nlink = "api.tcp"\ndo = "cut"\n'
        '[[circuits]]\nname = "c"\nroute = ["client:refused"]\nper = "run"',
    )
    assert workplace.run().codes == []


def test_a_restarted_unit_is_reached_again_and_clients_fail_fast_meanwhile(
    workplace: Workplace,
) -> None:
    workplace.group(
        {"api": API + '\nin-except = "Reload"\nrestarts = 1', "client": CLIENT},
        SERVER
        + """
serve_only = serve
def serve():
    if not os.path.exists("died"):
        open("died", "w").close()
        threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    serve_only()

def client():
    me = testrium.unit()
    while True:
        try:
            with connect(limit_s=2) as wire:
                while True:
                    wire.sendall(b"x")
                    if wire.recv(1) != b"x":
                        break
                    if os.path.exists("gone"):
                        me.probe("answered-again")
                        return
                    time.sleep(0.01)
        except OSError:
            pass
        open("gone", "w").close()
""",
        configs="timeout = 20",
        tables='[[faults]]\nlink = "api.tcp"\ndo = "latency"\nvalue = "1ms"\n'
        '[[circuits]]\nname = "c"\nroute = ["client:answered-again"]\nper = "run"',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.unit("api")["starts"] == 2


def test_links_that_break_by_themselves_are_the_runners_fault(workplace: Workplace) -> None:
    workplace.group(
        {"api": API, "client": CLIENT},
        SERVER
        + """
def client():
    for name in os.listdir("/proc"):
        try:
            title = open(f"/proc/{name}/cmdline").read()
            run = open(f"/proc/{name}/environ").read()
        except OSError:
            continue
        if title.startswith("links: ") and os.environ["TESTRIUM_TEST_MARK"] in run:
            os.kill(int(name), signal.SIGKILL)
    time.sleep(60)
""",
        configs="timeout = 60",
        tables='[[faults]]\nlink = "api.tcp"\ndo = "latency"\nvalue = "1ms"',
    )
    outcome = workplace.run()
    assert outcome.exit_code == 5
    assert outcome.codes[0] == "infra group"
    assert "links" in outcome.group["findings"][0]["message"]


def test_a_group_without_links_has_no_process_for_them(workplace: Workplace) -> None:
    workplace.group({"a": 'command = ["true"]'})
    outcome = workplace.run()
    assert outcome.codes == []
    assert not Path(outcome.group["run_dir"], "links.log").exists()


def test_a_link_that_was_never_broken_has_proved_nothing(workplace: Workplace) -> None:
    workplace.group(
        {"api": API, "client": CLIENT},
        SERVER
        + """
def client():
    with connect() as wire:
        wire.sendall(b"x")
        assert wire.recv(1) == b"x"
    testrium.unit().probe("done")
""",
        tables='[[faults]]\nlink = "api.tcp"\ndo = "cut"\nafter = "client:never"',
    )
    outcome = workplace.run()
    assert outcome.exit_code == 1
    assert outcome.codes == ["vacuous cut on api.tcp"]


def test_a_fault_of_an_unused_link_proves_nothing(workplace: Workplace) -> None:
    code = """
        import os, signal, socket
        def srv():
            with socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_HTTP"]))):
                testrium.unit().probe("ready")
                signal.pause()
        def client():
            testrium.unit().probe("up")
    """
    fault = '[[faults]]\nlink = "srv.http"\ndo = "latency"\nvalue = "50ms"\n'
    units = {
        "srv": 'entrypoint = "test_case:srv"\nports = ["http"]\nready_event = "ready"',
        "client": 'entrypoint = "test_case:client"\nunit_dependencies = ["srv"]',
    }
    workplace.group(units, code, tables=fault)
    outcome = workplace.run()
    assert outcome.codes == ["vacuous latency on srv.http"]
    assert "no client connected" in outcome.group["findings"][0]["hints"][0]
