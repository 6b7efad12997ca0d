"""Fixtures from their start to their end: interrupted, dying under two groups, functions."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Outcome, Workplace

#: Touches `begun`, is ready, and ends when it is told to. What stands for % is done before.
SERVICE = """\
import os, pathlib, signal, subprocess, sys, testrium
here = pathlib.Path(__file__).parent

def asked(*_):
    (here / "asked").touch()
    if not (here / "deaf").exists():
        sys.exit()

def main():
    signal.signal(signal.SIGTERM, asked)
    (here / "begun").touch()
    %s
    testrium.unit().probe("ready", owner=os.getpid(), url="db://here")
    while True:
        signal.pause()
"""
FIXTURE = '["db"]\nentrypoint = "db:main"\nports = ["sql"]\nready_event = "ready"\n'


def write_fixture(workplace: Workplace, keys: str = "", before: str = "pass") -> Path:
    folder = workplace.folder / "fixtures"
    workplace.write(folder / "db.toml", FIXTURE + keys)
    workplace.write(folder / "db.py", SERVICE % before)
    return folder


def write_function(workplace: Workplace, body: str, keys: str = "") -> None:
    """A fixture that is a function: it ends, and its values stay."""
    folder = workplace.folder / "fixtures"
    text = '["db"]\nentrypoint = "db:main"\nstop = "self"\n' + keys
    workplace.write(folder / "db.toml", text)
    workplace.write(folder / "db.py", "import pathlib\n\ndef main():\n    " + body)


def write_group(workplace: Workplace, name: str, code: str, unit: str = "", **more: str) -> Path:
    configs = more.pop("configs", "timeout = 30") + '\nfixtures = ["db"]'
    keys = 'entrypoint = "test_case:main"\nquiet = true\n' + unit
    return workplace.group({"asker": keys}, code, configs=configs, name=name, **more)


def findings(group: object) -> list[tuple[str, str, object]]:
    assert isinstance(group, dict)
    return [(each["code"], each["where"], each["explained_by"]) for each in group["findings"]]


def wait_for_file(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, f"{path} was not made"
        time.sleep(0.005)


def interrupted(workplace: Workplace, *files: Path) -> Outcome:
    """A run that is interrupted as each of these files has come; nothing of it is left."""
    process = workplace.start("run", "-j", "1", "--json", str(workplace.folder / "report.json"))
    for file in files:
        wait_for_file(file)
        process.send_signal(signal.SIGINT)
    return workplace.finish(process)


def test_interrupted_while_it_starts(workplace: Workplace) -> None:
    fixtures = write_fixture(workplace, "ready_timeout = 60\n", "signal.pause()")
    write_group(workplace, "a", "def main(): pass")
    outcome = interrupted(workplace, fixtures / "begun")
    assert outcome.exit_code == 130
    assert (fixtures / "asked").exists()
    assert findings(outcome.group) == [("infra", "a", None), ("notrun", "asker", "infra a")]


def test_interrupted_while_a_group_uses_it(workplace: Workplace) -> None:
    fixtures = write_fixture(workplace)
    group = write_group(
        workplace, "a", "import time\ndef main():\n open('used', 'w').close()\n time.sleep(60)"
    )
    outcome = interrupted(workplace, group / "used")
    assert outcome.exit_code == 130
    assert (fixtures / "asked").exists()
    assert findings(outcome.group) == [("infra", "a", None)]


def test_interrupted_while_it_is_stopped(workplace: Workplace) -> None:
    """All groups have ended; who does not want to wait for its grace asks for its end."""
    fixtures = write_fixture(workplace, "grace = 60\n")
    (fixtures / "deaf").touch()
    write_group(workplace, "a", "def main(): pass")
    process = workplace.start("run", "--json", str(workplace.folder / "report.json"))
    wait_for_file(fixtures / "asked")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    while process.poll() is None:  # two of one kind that come at once are one
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    outcome = workplace.finish(process)
    assert (outcome.exit_code, outcome.group["verdict"]) == (130, "pass")


def test_who_is_slow_to_stop_is_named(workplace: Workplace) -> None:
    fixtures = write_fixture(workplace, "grace = 60\n")
    (fixtures / "deaf").touch()
    write_group(workplace, "a", "def main(): pass")
    process = workplace.start("run")
    assert process.stdout is not None
    told = next(line for line in process.stdout if "slow to stop" in line)
    assert "fixture.db is slow to stop: it is killed 60 s after TERM (Ctrl-C twice" in told
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.01)
    workplace.finish(process)


def test_a_second_interrupt_does_not_wait_for_its_grace(workplace: Workplace) -> None:
    fixtures = write_fixture(workplace, "grace = 60\n")
    (fixtures / "deaf").touch()
    group = write_group(
        workplace, "a", "import time\ndef main():\n open('used', 'w').close()\n time.sleep(60)"
    )
    assert interrupted(workplace, group / "used", fixtures / "asked").exit_code == 130


def test_two_groups_that_use_it_are_stopped_by_its_death(workplace: Workplace) -> None:
    """Both are told who died; a third one, later, gets a new one and is blamed for nothing."""
    write_fixture(workplace)
    meet = """
import os, pathlib, signal, time
def main():
    mine, other = pathlib.Path("used"), pathlib.Path("../{other}/used")
    mine.touch()
    while not other.exists():
        time.sleep(0.005)
    if "{other}" == "b":
        os.kill(int(os.environ["TESTRIUM_FIXTURE_DB_VALUE_OWNER"]), signal.SIGKILL)
    time.sleep(60)
"""
    write_group(workplace, "a", meet.replace("{other}", "b"))
    write_group(workplace, "b", meet.replace("{other}", "a"))
    write_group(workplace, "c", "def main(): pass", configs="timeout = 30\norder = 1")
    outcome = workplace.run("-j", "2")
    a, b, c = sorted(outcome.report["groups"], key=lambda group: group["id"])
    assert findings(a) == findings(b) == [("crash", "fixture.db", None)]
    assert c["verdict"] == "pass"


def test_restarts_of_units_do_not_restart_it(workplace: Workplace) -> None:
    """Reload, Resume and Resume-ALL are of the group; the fixture goes on."""
    fixtures = write_fixture(workplace, "", "open(here / 'starts', 'a').write('x')")
    code = """
import os, pathlib
def main():
    with open("starts", "a") as file:
        file.write(os.environ["TESTRIUM_FIXTURE_DB_VALUE_OWNER"] + "\\n")
    if len(open("starts").readlines()) == 1:
        os._exit(3)
"""
    for name in ("Reload", "Resume-ALL", "Resume"):
        write_group(workplace, name.lower(), code, f'in-except = "{name}"')
    outcome = workplace.run("-j", "1")
    verdicts = {group["id"]: group["verdict"] for group in outcome.report["groups"]}
    assert verdicts == {"reload": "pass", "resume": "fail", "resume-all": "pass"}, outcome.stdout
    assert (fixtures / "starts").read_text() == "x"
    for name in ("reload", "resume-all"):
        first, second = (workplace.folder / name / "starts").read_text().splitlines()
        assert first == second != ""


@pytest.mark.parametrize("scope", ["run", "group"])
def test_a_process_that_it_leaves_is_ended_and_told(workplace: Workplace, scope: str) -> None:
    daemon = "subprocess.Popen(['sleep', '600'], start_new_session=True)"
    write_fixture(workplace, f'scope = "{scope}"\n', daemon)
    write_group(workplace, "a", "def main(): pass")
    outcome = workplace.run()
    if scope == "run":
        assert (outcome.exit_code, outcome.codes) == (0, [])
        assert "fixture.db left a process:" in outcome.stdout + outcome.stderr
        assert "sleep 600" in outcome.stdout + outcome.stderr
    else:
        assert outcome.codes == ["leak fixture.db"]


def test_one_that_dies_unused_is_told(workplace: Workplace) -> None:
    """Nobody is left to blame then; the next group gets a new one."""
    fixtures = write_fixture(workplace, "", "open(here / 'starts', 'a').write('x')")
    kills = """
import os, pathlib, signal, sqlite3, time
def main():
    store = pathlib.Path(os.environ["TESTRIUM_RUN_DIR"]).parent / "fixtures/db/Data.db"
    with sqlite3.connect(store) as store:
        [[pid]] = store.execute("SELECT json_extract(Metadata, '$.owner') FROM Events")
        os.kill(pid, signal.SIGKILL)
        # Until the runner has heard of it.
        while store.execute("SELECT Status FROM UnitStatus").fetchall() != [("failed",)]:
            time.sleep(0.005)
"""
    write_group(workplace, "a", "def main(): pass")
    workplace.group({"killer": 'entrypoint = "test_case:main"\nquiet = true'}, kills, name="b")
    write_group(workplace, "c", "def main(): pass")
    outcome = workplace.run("-j", "1")
    assert outcome.exit_code == 0, outcome.stdout
    told = outcome.stdout + outcome.stderr
    assert "fixture.db ended with SIGKILL while no group used it" in told
    assert (fixtures / "starts").read_text() == "xx"


def test_setup_finds_it_ready(workplace: Workplace) -> None:
    write_fixture(workplace)
    setup = """
import os
def main():
    assert os.environ["TESTRIUM_FIXTURE_DB_VALUE_URL"] == "db://here"
    assert os.environ["TESTRIUM_FIXTURE_DB_PORT_SQL"].isdecimal()
    open("set-up", "w").close()
"""
    main = "import pathlib\ndef main(): assert pathlib.Path('set-up').exists()"
    group = write_group(workplace, "a", main, setup=setup)
    write_group(workplace, "b", main, "use_setup = true", setup=setup)
    outcome = workplace.run()
    assert outcome.exit_code == 0, outcome.stdout
    assert (group / "set-up").exists()


def test_setup_does_not_run_without_it(workplace: Workplace) -> None:
    write_fixture(workplace, "", "raise SystemExit(3)")
    group = write_group(
        workplace, "a", "def main(): pass", setup="def main(): open('set-up', 'w').close()"
    )
    outcome = workplace.run()
    assert findings(outcome.group) == [
        ("crash", "fixture.db", None),
        ("notrun", "asker", "crash fixture.db"),
    ]
    assert not (group / "set-up").exists()


def test_what_a_group_declares_may_name_it(workplace: Workplace) -> None:
    """A circuit its ready_event, checks its values and its output, a fault the way to its port."""
    serve = """import socket, threading
    server = socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_SQL"])))
    threading.Thread(target=server.accept, daemon=True).start()
    print("serving", flush=True)"""
    write_fixture(workplace, "", serve)
    tables = """
    [[circuits]]
    name = "way"
    route = ["fixture.db:ready", "asker:refused"]
    per = "run"
    [[checks]]
    name = "value"
    value = "${fixture.db.value.url} ${probe.fixture.db.ready.url}"
    equals = "db://here db://here"
    [[checks]]
    name = "port"
    value = "${fixture.db.port.sql}"
    contains = '^\\d+$'
    [[checks]]
    name = "output"
    log = "fixture.db"
    contains = "serving"
    [[faults]]
    link = "fixture.db.sql"
    do = "cut"
    """
    connect = """
import os, socket
def main():
    try:
        socket.create_connection(("127.0.0.1", int(os.environ["TESTRIUM_FIXTURE_DB_PORT_SQL"])))
    except ConnectionError:
        testrium.unit().probe("refused")
"""
    write_group(workplace, "a", connect, tables=tables)
    outcome = workplace.run()
    assert outcome.exit_code == 0, outcome.stdout


def test_a_function_runs_once_and_its_values_stay(workplace: Workplace) -> None:
    body = "open(pathlib.Path(__file__).parent / 'calls', 'a').write('x')\n    "
    write_function(workplace, body + 'return {"url": "db://made", "key": "k-1", "rows": 3}')
    code = """
import os
def main():
    assert os.environ["URL"] == "db://made k-1 3"
    assert os.environ["TESTRIUM_FIXTURE_DB_VALUE_ROWS"] == "3"

def test_values():
    assert os.environ["TESTRIUM_FIXTURE_DB_VALUE_KEY"] == "k-1"
"""
    env = "${fixture.db.value.url} ${fixture.db.value.key} ${fixture.db.value.rows}"
    for name in ("a", "b", "c"):
        write_group(workplace, name, code, f'env = {{URL = "{env}"}}')
    outcome = workplace.run("-j", "2")
    assert outcome.exit_code == 0, outcome.stdout
    assert (workplace.folder / "fixtures/calls").read_text() == "x"


def test_a_function_of_each_group(workplace: Workplace) -> None:
    body = "open(pathlib.Path(__file__).parent / 'calls', 'a').write('x')"
    write_function(workplace, body, 'scope = "group"\n')
    for name in ("a", "b"):
        write_group(workplace, name, "def main(): pass\ndef test_it(): pass")
    outcome = workplace.run()
    assert outcome.exit_code == 0, outcome.stdout
    assert (workplace.folder / "fixtures/calls").read_text() == "xx"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return 5", "returns a dict of values or None, not int"),
        ("raise ValueError('no disk')", "ValueError: no disk"),
    ],
)
def test_a_function_that_fails_fails_all_groups(
    workplace: Workplace, body: str, reason: str
) -> None:
    write_function(workplace, body)
    for name in ("a", "b"):
        write_group(workplace, name, "def main(): pass")
    outcome = workplace.run("-j", "1")
    for group in outcome.report["groups"]:
        assert findings(group) == [
            ("crash", "fixture.db", None),
            ("notrun", "asker", "crash fixture.db"),
        ]
    assert outcome.stdout.count(reason) >= 2
