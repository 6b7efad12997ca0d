"""How units start, end, fail, and are stopped."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace
from tests.end_to_end.conftest import DONE, PROBE


def test_a_unit_that_does_its_job_passes(workplace: Workplace) -> None:
    workplace.group({"a": PROBE.format(name="a")}, DONE)
    outcome = workplace.run()
    assert outcome.exit_code == 0
    assert outcome.codes == []
    assert outcome.group["required"] == {
        "completed": [{"unit": "a", "step": "done"}],
        "missing": [],
    }
    assert outcome.unit("a")["state"] == "finished"
    assert outcome.unit("a")["exit_code"] == 0


def test_units_start_when_their_dependencies_are_ready(workplace: Workplace) -> None:
    workplace.group(
        {
            "late": 'entrypoint = "test_case:late"\nunit_dependencies = ["early"]',
            "early": 'entrypoint = "test_case:early"\nready_event = "up"\nstop = "self"',
        },
        """
        import pathlib
        def early():
            pathlib.Path("made").touch()
            testrium.unit().probe("up")
        def late():
            assert pathlib.Path("made").exists()
            testrium.unit().probe("done")
        """,
    )
    assert workplace.run().codes == []


def test_a_crash_stops_the_group_at_once_and_explains_the_rest(workplace: Workplace) -> None:
    workplace.group(
        {
            "db": 'entrypoint = "test_case:db"\nready_event = "up"',
            "api": 'entrypoint = "test_case:api"\nunit_dependencies = ["db"]\nevents = ["done"]',
        },
        """
        import os
        def db():
            os._exit(7)
        def api():
            testrium.unit().probe("done")
        """,
        configs="timeout = 30",
    )
    outcome = workplace.run()
    assert outcome.exit_code == 1
    assert outcome.codes[0] == "crash db"
    assert "notrun api" in outcome.codes
    explained = {finding["where"]: finding["explained_by"] for finding in outcome.group["findings"]}
    assert explained == {"db": None, "api": "crash db", "api:done": "notrun api"}
    assert outcome.unit("db")["exit_code"] == 7
    assert outcome.report["duration_s"] < 10


def test_a_signal_is_named(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import os, signal
        def a():
            testrium.unit().probe("alive")
            os.kill(os.getpid(), signal.SIGSEGV)
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == ["crash a"]
    assert outcome.unit("a")["signal"] == "SIGSEGV"
    assert "SIGSEGV" in outcome.stdout


def test_the_deadline_finds_who_hangs(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"\ngrace = 0.2'},
        """
        import signal
        def a():
            testrium.unit().probe("started")
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()
        """,
        configs="timeout = 0.5",
    )
    outcome = workplace.run()
    assert outcome.codes == ["hang a"]
    stacks = Path(outcome.group["run_dir"], "units", "a", "stacks.txt").read_text()
    assert "signal.pause" in stacks or "in a" in stacks


def test_a_service_with_its_own_time_limit_hangs_too(workplace: Workplace) -> None:
    workplace.group(
        {
            "service": 'entrypoint = "test_case:service"\nready_event = "up"\ntimeout = 0.4',
            "client": 'entrypoint = "test_case:client"\nunit_dependencies = ["service"]',
        },
        """
        import time
        def service():
            testrium.unit().probe("up")
            time.sleep(60)
        def client():
            testrium.unit().probe("up")
            time.sleep(60)
        """,
    )
    outcome = workplace.run()
    assert outcome.codes[0] == "hang service"
    assert outcome.report["duration_s"] < 8


def test_services_are_stopped_dependants_first(workplace: Workplace) -> None:
    service = """
        import signal, pathlib
        def serve(name):
            me = testrium.unit()
            signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(0)))
            me.probe("up")
            try:
                while True:
                    signal.pause()
            finally:
                me.probe("stopped")
        def db():
            serve("db")
        def api():
            serve("api")
        def client():
            testrium.unit().probe("done")
        """
    up = 'entrypoint = "test_case:{name}"\nready_event = "up"\nstop_events = ["stopped"]\n'
    workplace.group(
        {
            "db": up.format(name="db"),
            "api": up.format(name="api") + 'unit_dependencies = ["db"]',
            "client": 'entrypoint = "test_case:client"\nunit_dependencies = ["api"]',
        },
        service,
    )
    outcome = workplace.run()
    assert outcome.codes == []
    stopped = {unit["name"]: unit["ended_s"] for unit in outcome.group["units"]}
    assert stopped["api"] < stopped["db"]
    assert outcome.unit("api")["state"] == "stopped"


def test_a_service_killed_after_its_grace_is_not_a_finding(workplace: Workplace) -> None:
    workplace.group(
        {
            "stubborn": 'entrypoint = "test_case:stubborn"\nready_event = "up"\ngrace = 0.1',
            "client": 'entrypoint = "test_case:client"\nunit_dependencies = ["stubborn"]',
        },
        """
        import signal
        def stubborn():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            testrium.unit().probe("up")
            while True:
                signal.pause()
        def client():
            testrium.unit().probe("done")
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.unit("stubborn")["signal"] == "SIGKILL"


@pytest.mark.parametrize(("policy", "starts"), [("Reload", 2), ("Resume-ALL", 2)])
def test_a_restart_recovers(workplace: Workplace, policy: str, starts: int) -> None:
    workplace.group(
        {"a": f'entrypoint = "test_case:a"\nin-except = "{policy}"\nevents = ["done"]'},
        """
        import os, pathlib
        def a():
            me = testrium.unit()
            if not pathlib.Path("died").exists():
                pathlib.Path("died").touch()
                os.abort()
            me.probe("done")
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.unit("a")["starts"] == starts


def test_resume_all_starts_every_unit_again(workplace: Workplace) -> None:
    workplace.group(
        {
            "b": 'entrypoint = "test_case:b"\nready_event = "up"',
            "a": 'entrypoint = "test_case:a"\nin-except = "Resume-ALL"\nunit_dependencies = ["b"]',
        },
        """
        import os, pathlib, time
        def b():
            testrium.unit().probe("up")
            time.sleep(60)
        def a():
            testrium.unit().send("sent", key="k")
            if not pathlib.Path("died").exists():
                pathlib.Path("died").touch()
                os._exit(1)
            testrium.unit().receive("got", key="k")
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.unit("b")["starts"] == 2


def test_resume_leaves_the_dead_one_dead(workplace: Workplace) -> None:
    workplace.group(
        {
            "a": 'entrypoint = "test_case:a"\nin-except = "Resume"',
            "b": 'entrypoint = "test_case:b"\nevents = ["done"]',
        },
        """
        import os
        def a():
            testrium.unit().probe("dying")
            os._exit(1)
        def b():
            testrium.unit("b").wait_for("a:dying", timeout=5)
            testrium.unit().probe("done")
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == ["crash a"]
    assert outcome.unit("b")["state"] == "finished"


def test_a_program_that_does_not_exist_is_a_crash_with_its_reason(workplace: Workplace) -> None:
    workplace.group({"a": 'command = ["no-such-program-here"]'})
    outcome = workplace.run()
    assert outcome.codes == ["crash a"]
    assert "no-such-program-here" in outcome.stdout


def test_a_foreign_server_at_the_port_does_not_make_a_unit_ready(workplace: Workplace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        workplace.group(
            {
                "api": f"""
                command = ["sleep", "60"]
                ready = {{ tcp = "127.0.0.1:{port}" }}
                ready_timeout = 60
                stop = "runner"
                """
            },
            configs="timeout = 60",
        )
        outcome = workplace.run()
    assert outcome.codes == ["unready api"]
    assert outcome.group["duration_s"] < 30  # at once, however long it would be waited for
    assert outcome.unit("api")["pid"] is None
    message = outcome.group["findings"][0]["message"]
    assert f"another process listened at port {port} before the unit started" in message
    assert f"pid {os.getpid()}" in message


def test_another_unit_of_the_group_may_listen_at_the_port(workplace: Workplace) -> None:
    code = """
        import os, signal, socket
        def api():
            with socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_HTTP"]))):
                testrium.unit().probe("listens")
                signal.pause()
        def a():
            testrium.unit().probe("done")
    """
    second = """
        command = ["sleep", "60"]
        ready = {tcp = "127.0.0.1:${unit.api.port.http}"}
        unit_dependencies = ["api"]
    """
    api = 'entrypoint = "test_case:api"\nports = ["http"]\nready_event = "listens"\n'
    client = 'entrypoint = "test_case:a"\nunit_dependencies = ["second"]'
    workplace.group({"api": api, "second": second, "a": client}, code)
    assert workplace.run().codes == []


def test_a_wait_ends_with_the_unit_that_should_emit(workplace: Workplace) -> None:
    workplace.group(
        {
            "srv": 'entrypoint = "test_case:srv"',
            "cli": 'entrypoint = "test_case:cli"\nevents = ["told", "classic"]',
        },
        """
        import time
        from testrium.modules.events import Events_Manager
        def srv():
            testrium.unit().probe("up")
        def cli():
            me = testrium.unit()
            begun = time.monotonic()
            try:
                me.wait_for("srv:never", timeout=30)
            except TimeoutError as error:
                me.probe("told", text=str(error))
            assert not Events_Manager(Unit="cli", path=".").wait_for_event(
                "never", unit="srv", timeout=30
            )
            me.probe("classic")
            assert time.monotonic() - begun < 20
            me.wait_for("srv:up", timeout=30)
            me.wait_for("svr:up", timeout=30)
        """,
        configs="timeout = 60",
    )
    outcome = workplace.run()
    assert outcome.codes == ["exception cli:ValueError"]
    message = outcome.group["findings"][0]["message"]
    assert "this run has no unit 'svr': did you mean 'srv'?" in message
    assert outcome.group["required"]["missing"] == []


def test_a_wait_ends_at_once_when_its_unit_has_ended(workplace: Workplace) -> None:
    group = workplace.group(
        {
            "srv": 'entrypoint = "test_case:srv"',
            "a": 'entrypoint = "test_case:a"\nquiet = true',
            "b": 'entrypoint = "test_case:b"\nquiet = true',
            "c": 'entrypoint = "test_case:c"\nquiet = true',
        },
        """
        import asyncio, time, warnings
        from testrium.modules.events import Events_Manager
        def srv():
            time.sleep(0.4)
            testrium.unit().probe("up")
        def told(name, work):
            begun = time.monotonic()
            try:
                said = work()
            except (TimeoutError, ValueError) as error:
                said = f"{type(error).__name__}: {error}"
            with open(name, "w") as file:
                file.write(f"{said} {time.monotonic() - begun < 10}")
        def a():
            me = testrium.unit()
            told("wait", lambda: me.wait_for("srv:never", key="k", timeout=15))
            told("late", lambda: me.wait_for("srv:never", timeout=15))
            told("past", lambda: me.wait_for("srv:up", timeout=15).step)
            told("unknown", lambda: me.wait_for("svr:up", timeout=15))
        def b():
            me = testrium.unit()
            told("async", lambda: asyncio.run(me.wait_for_async("srv:never", timeout=15)))
        def c():
            events = Events_Manager(Unit="*", path=".")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                told("classic", lambda: events.wait_for_event("never", unit="srv", timeout=15))
            told("warning", lambda: caught[0].message)
            told("classic-unknown", lambda: events.wait_for_event("up", unit="svr", timeout=15))
        """,
    )
    assert workplace.run().codes == []

    def text(name: str) -> str:
        return (group / name).read_text()

    ended = "unit srv ended with exit code 0"
    assert text("wait") == f"TimeoutError: no probe srv:never with key 'k': {ended} True"
    assert text("late") == text("async") == f"TimeoutError: no probe srv:never: {ended} True"
    assert text("past") == "up True"
    unknown = "ValueError: this run has no unit 'svr': did you mean 'srv'? True"
    assert text("unknown") == text("classic-unknown") == unknown
    assert text("classic") == "False True"
    assert text("warning") == f"wait_for_event: no srv:never will come: {ended} True"


def test_a_unit_is_ready_once_it_has_ended(workplace: Workplace) -> None:
    folder = workplace.group(
        {
            "migrate": """
            command = ["sh", "-c", "sleep 0.2; echo done > ${run.dir}/schema"]
            ready = { ended = true }
            """,
            "app": """
            command = ["test", "-s", "${run.dir}/schema"]
            unit_dependencies = ["migrate"]
            """,
        }
    )
    assert workplace.run().codes == []
    workplace.write(
        folder / "units" / "migrate.toml",
        '["migrate"]\ncommand = ["sh", "-c", "exit 3"]\nready = { ended = true }\n',
    )
    assert workplace.run().codes == ["crash migrate", "notrun app"]


def test_all_conditions_of_a_list_must_hold(workplace: Workplace) -> None:
    workplace.group(
        {
            "server": """
            command = ["sh", "-c", "echo one; sleep 0.3; touch ${run.dir}/two; exec sleep 60"]
            ready = [{ log = "^one$" }, { file = "${run.dir}/two" }]
            """,
            "app": """
            command = ["test", "-e", "${run.dir}/two"]
            unit_dependencies = ["server"]
            """,
        }
    )
    assert workplace.run().codes == []


@pytest.mark.parametrize("then", ["echo listening; exec sleep 60", "exit 0", "exit 1"])
def test_a_line_that_ready_error_matches_ends_the_wait(workplace: Workplace, then: str) -> None:
    workplace.group(
        {
            "server": f"""
            command = ["sh", "-c", "echo FATAL: no licence; {then}"]
            ready = {{ log = "listening", error = "^FATAL" }}
            ready_timeout = 30
            stop = "runner"
            """
        }
    )
    outcome = workplace.run()
    assert outcome.codes == ["unready server"]
    message = outcome.group["findings"][0]["message"]
    assert message.startswith("server did not become ready: it wrote 'FATAL: no licence'")
    assert outcome.group["duration_s"] < 20


def test_a_server_that_said_ready_before_it_listened_is_named(workplace: Workplace) -> None:
    code = """
        import os, socket, time
        def srv():
            me = testrium.unit()
            me.probe("ready")
            me.wait_for("client:ConnectionRefusedError")
            with socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_HTTP"]))):
                me.wait_for("late:done")
        def client():
            socket.create_connection(("127.0.0.1", int(os.environ["TESTRIUM_PORT_SRV_HTTP"])))
        def late():
            me = testrium.unit()
            port = int(os.environ["TESTRIUM_PORT_SRV_HTTP"])
            while socket.socket().connect_ex(("127.0.0.1", port)):
                time.sleep(0.01)
            time.sleep(0.1)  # until it was seen that somebody listens
            me.probe("done")
    """
    needs = 'unit_dependencies = ["srv"]\nin-except = "Resume"\nquiet = true\n'
    units = {
        "srv": 'entrypoint = "test_case:srv"\nports = ["http"]\nready_event = "ready"\n',
        "client": f'entrypoint = "test_case:client"\n{needs}',
        "late": f'entrypoint = "test_case:late"\n{needs}',
    }
    workplace.group(units, code)
    finding, *_ = workplace.run().group["findings"]
    assert finding["where"] == "client:ConnectionRefusedError"
    (hint,) = [hint for hint in finding["hints"] if "listened" in hint]
    assert re.match(r"srv emitted `ready` \S+ m?s before it listened at its port http: ", hint)


def test_unready_says_what_helps_a_silent_program_and_one_in_the_background(
    workplace: Workplace,
) -> None:
    units = {
        "silent": 'command = ["sleep", "5"]\nready = {log = "up"}\nready_timeout = 0.1\n',
        "daemon": """
            command = ["sh", "-c", "setsid sleep 5 & "]
            ports = ["http"]
            ready = {tcp = "${port.http}"}
            stop = "runner"
        """,
    }
    workplace.group({name: f'{text}\nin-except = "Resume"\n' for name, text in units.items()})
    hints = {
        finding["where"]: " ".join(finding["hints"])
        for finding in workplace.run().group["findings"]
        if finding["code"] == "unready"
    }
    assert "`stdbuf -oL`; of Python, set PYTHONUNBUFFERED" in hints["silent"]
    assert "run it in the foreground" in hints["daemon"]


def test_a_service_that_quits_while_it_is_needed_is_noted(workplace: Workplace) -> None:
    code = """
        def srv():
            testrium.unit().probe("ready")
        def client():
            me = testrium.unit()
            try:
                me.wait_for("srv:answered")
            except TimeoutError:
                me.wait_for("late:done")
        def late():
            testrium.unit().probe("done")
    """
    units = {
        "srv": 'entrypoint = "test_case:srv"\nready_event = "ready"\n',
        "client": 'entrypoint = "test_case:client"\nunit_dependencies = ["srv"]\nquiet = true\n',
        "late": 'entrypoint = "test_case:late"\nunit_dependencies = ["srv"]\n',
    }
    workplace.group(units, code)
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.group["verdict"] == "pass"
    (note,) = outcome.group["notes"]
    assert (note["code"], note["where"]) == ("crash", "srv")
    assert (
        "srv is a service and ended by itself (exit code 0) while it was needed"
        in (note["message"])
    )


def test_a_wait_for_a_lost_key_is_told_and_drawn_and_not_made_twice(workplace: Workplace) -> None:
    code = """
        import signal
        def client():
            testrium.unit().send("sent", key="k1")
        def host():
            signal.pause()
        def test_that_sets_nothing_in_motion():
            pass
    """
    units = {
        "host": 'entrypoint = "test_case:host"\nstop = "runner"\nquiet = true\n',
        "client": 'entrypoint = "test_case:client"\n',
    }
    circuit = '[[circuits]]\nname = "c"\nroute = ["client:sent", "host:received"]\n'
    workplace.group(units, code, tables=f'{circuit}[verify]\nlinger = "1100ms"\n')
    outcome = workplace.run("--html", "report.html")
    (finding,) = outcome.group["findings"]
    (hint,) = [hint for hint in finding["hints"] if "waited" in hint]
    assert re.fullmatch(
        r"waited 1\.\d+ s for key k1 at host:received, as long as `linger` says", hint
    )
    page = (workplace.folder / "report.html").read_text(encoding="utf-8")
    assert re.search(r"Testrium waited \S+ s for key k1 at host:received, it did not come", page)
