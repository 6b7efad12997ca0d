"""The life of a group, as "How a group runs" in docs/reference/groups.md promises it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

PROBE = 'entrypoint = "test_case:{name}"\nevents = ["done"]'

DONE = """
def a():
    testrium.unit().probe("done")
"""


def probes_of(run_dir: str, unit: str) -> list[str]:
    files = sorted(Path(run_dir, "units", unit).glob("probes-*.jsonl"))
    return [json.loads(line)["step"] for file in files for line in file.read_text().splitlines()]


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


def test_a_service_that_was_killed_after_its_grace_is_no_finding(workplace: Workplace) -> None:
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


def test_setup_runs_before_units_and_teardown_always(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import pathlib
        def a():
            assert pathlib.Path("prepared").exists()
            testrium.unit().probe("done")
        """,
        setup="import pathlib\ndef main():\n    pathlib.Path('prepared').touch()\n",
        teardown="import pathlib\ndef main():\n    pathlib.Path('cleaned').touch()\n",
    )
    assert workplace.run().codes == []
    assert (workplace.folder / "group" / "cleaned").exists()


def test_after_a_failed_setup_no_unit_runs_but_teardown_does(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        DONE,
        setup="def main():\n    raise ValueError('no database')\n",
        teardown="import pathlib\ndef main():\n    pathlib.Path('cleaned').touch()\n",
    )
    outcome = workplace.run()
    assert outcome.codes[0] == "exception setup:ValueError"
    assert "notrun a" in outcome.codes
    assert (workplace.folder / "group" / "cleaned").exists()


def test_units_with_use_setup_wait_for_setup_ready_only(workplace: Workplace) -> None:
    workplace.group(
        {
            "db": 'entrypoint = "test_case:db"\nready_event = "up"',
            "a": 'entrypoint = "test_case:a"\nuse_setup = true\nunit_dependencies = ["db"]',
        },
        """
        import signal, pathlib
        def db():
            testrium.unit().probe("up")
            signal.pause()
        def a():
            assert pathlib.Path("filled").exists()
            testrium.unit().probe("done")
        """,
        setup="""
        import pathlib, testrium
        def main():
            me = testrium.unit()
            me.wait_for("db:up", timeout=5)   # a unit without use_setup runs beside setup
            pathlib.Path("filled").touch()
            me.probe("setup-ready")
            me.wait_for("a:done", timeout=5)
        """,
    )
    assert workplace.run().codes == []


def test_what_teardown_raises_is_found(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        DONE,
        teardown="def main():\n    raise OSError('still there')\n",
    )
    assert workplace.run().codes == ["exception teardown:OSError"]


TESTS = """
import os, pathlib, signal, time
from testrium.common.utils import test_config

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

def service():
    testrium.unit().probe("up")
    signal.pause()

@test_config(priority=2)
def test_last():
    note("last")

@test_config(priority=1)
def test_first():
    note("first")

def test_zero():
    note("zero")

def validate_test(name):
    note(f"validate {name}")

def tests_results(data):
    note(f"results {data['passed']} {[t['name'] for t in data['tests_results']]}")
"""
SERVICE = {"service": 'entrypoint = "test_case:service"\nready_event = "up"\nstop = "runner"'}


def test_test_functions_run_by_priority_with_callbacks(workplace: Workplace) -> None:
    group = workplace.group(SERVICE, TESTS)
    outcome = workplace.run()
    assert outcome.codes == []
    assert (group / "notes").read_text().splitlines() == [
        "zero",
        "validate test_zero",
        "first",
        "validate test_first",
        "last",
        "validate test_last",
        "results True ['test_zero', 'test_first', 'test_last']",
    ]
    assert [test["name"] for test in outcome.group["tests"]] == [
        "test_zero",
        "test_first",
        "test_last",
    ]


def test_a_failing_test_function_and_callback_are_found(workplace: Workplace) -> None:
    workplace.group(
        SERVICE,
        """
        import signal
        def service():
            testrium.unit().probe("up")
            signal.pause()
        def test_sum():
            assert 1 + 1 == 3
        def test_fine():
            pass
        def validate_test(name):
            return name != "test_fine"
        def tests_results(data):
            return 0
        """,
    )
    outcome = workplace.run()
    assert sorted(outcome.codes) == ["test test_fine", "test test_sum", "test tests_results"]
    assert "test_sum" in outcome.stdout


def test_parallel_test_functions_really_run_side_by_side(workplace: Workplace) -> None:
    workplace.group(
        SERVICE,
        """
        import signal
        from testrium.common.utils import test_config
        def service():
            testrium.unit().probe("up")
            signal.pause()
        @test_config(parallelize=True)
        def test_ping():
            me = testrium.unit()
            me.probe("ping")
            me.wait_for("tests:pong", timeout=5)
        @test_config(parallelize=True)
        def test_pong():
            me = testrium.unit()
            me.wait_for("tests:ping", timeout=5)
            me.probe("pong")
        """,
    )
    assert workplace.run().codes == []


def test_a_test_function_that_kills_its_process_is_one_finding(workplace: Workplace) -> None:
    workplace.group(
        SERVICE,
        """
        import os, signal
        def service():
            testrium.unit().probe("up")
            signal.pause()
        def test_bad():
            os._exit(9)
        """,
    )
    outcome = workplace.run()
    assert "test test_bad" in outcome.codes
    assert outcome.exit_code == 1


def test_probes_of_test_functions_drive_a_circuit(workplace: Workplace) -> None:
    workplace.group(
        {**SERVICE, "driver": 'events = ["asked"]'},
        """
        import signal
        def service():
            me = testrium.unit()
            me.probe("up")
            me.wait_for("driver:asked", timeout=8)
            me.receive("answered", key="k1")
            signal.pause()
        def test_drive():
            testrium.unit("driver").send("asked", key="k1")
        """,
        tables='[[circuits]]\nname = "ask"\nroute = ["driver:asked", "service:answered"]',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.report["duration_s"] < 8


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_stops_everything_and_reports(
    workplace: Workplace, number: signal.Signals, code: int
) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import time
        def a():
            testrium.unit().probe("started")
            open("started", "w").close()
            time.sleep(60)
        """,
        configs="timeout = 60",
        teardown="import pathlib\ndef main():\n    pathlib.Path('cleaned').touch()\n",
    )
    process = workplace.start("run", "--json", str(workplace.folder / "report.json"))
    wait_for_file(group / "started")
    process.send_signal(number)
    outcome = workplace.finish(process, limit_s=20)
    assert outcome.exit_code == outcome.report["exit_code"] == code
    assert outcome.group["verdict"] == "error"
    assert (group / "cleaned").exists()


def test_a_second_interrupt_does_not_wait_for_the_grace(workplace: Workplace) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"\ngrace = 60'},
        """
        import signal
        def a():
            signal.signal(signal.SIGTERM, lambda *_: open("asked", "w").close())
            testrium.unit().probe("started")
            open("started", "w").close()
            while True:
                signal.pause()
        """,
        configs="timeout = 120",
    )
    process = workplace.start("run")
    wait_for_file(group / "started")
    process.send_signal(signal.SIGINT)
    wait_for_file(group / "asked")
    process.send_signal(signal.SIGINT)
    assert workplace.finish(process, limit_s=30).exit_code == 130


def wait_for_file(path: Path, limit_s: float = 20) -> None:
    """Wait until another process has made a file; only the limit is a time."""
    end = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < end, f"{path} was not made"
        time.sleep(0.005)


def test_a_runner_that_is_killed_leaves_nothing(workplace: Workplace) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import os, time
        def a():
            testrium.unit().probe("started")
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.execve("/bin/sleep", ["sleep", "64.25"], {})
                os._exit(0)
            open("started", "w").close()
            time.sleep(60)
        """,
    )
    process = workplace.start("run")
    wait_for_file(group / "started")
    process.kill()
    process.communicate()
    end = time.monotonic() + 10
    while workplace.survivors() or sleepers("64.25"):
        assert time.monotonic() < end, "something survived its runner"
        time.sleep(0.01)


def sleepers(seconds: str) -> list[int]:
    command = ["sleep", seconds]
    return [p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == command]


def test_a_probe_that_returned_survives_the_unit(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"\nexit = [0]\nin-except = "Resume"\nevents = ["last"]'},
        """
        import os, signal
        def a():
            me = testrium.unit()
            for number in range(500):
                me.probe("counted", number=number)
            me.probe("last")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == ["crash a"]
    assert len(probes_of(outcome.group["run_dir"], "a")) == 501
    assert outcome.group["required"]["missing"] == []


def test_a_large_run_is_judged_in_a_process_of_its_own(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"\nevents = ["last", "never"]'},
        """
        def a():
            me = testrium.unit()
            for number in range(20_000):
                me.probe("counted", number=number)
            me.probe("last")
        """,
        configs="timeout = 20",
        tables='[verify]\nlinger = "100ms"',
    )
    assert workplace.run().codes == ["missing a:never"]


def test_log_lines_can_be_probes(workplace: Workplace) -> None:
    workplace.group(
        {
            "a": """
            command = ["sh", "-c", "echo job k1 stored in 5 ms; echo job k2 stored in 7 ms"]
            events = ["stored"]
            [["a".probes]]
            log = 'job (?P<id>\\w+) stored in (?P<ms>\\d+)'
            step = "stored"
            key = "${id}"
            meta = {ms = "${ms}"}
            """
        },
        tables='[[circuits]]\nname = "c"\nroute = ["a:stored"]\nkeys = "2"',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.group["circuits"][0]["instances"] == 2


def test_values_of_probes_reach_dependants(workplace: Workplace) -> None:
    workplace.group(
        {
            "server": 'entrypoint = "test_case:server"\nready_event = "up"',
            "client": """
            command = ["sh", "-c", "test ${probe.server.up.port} = 4711"]
            unit_dependencies = ["server"]
            """,
        },
        """
        import signal
        def server():
            testrium.unit().probe("up", port=4711)
            signal.pause()
        """,
    )
    assert workplace.run().codes == []


def test_what_is_reported_at_once_ends_the_wait_for_readiness(workplace: Workplace) -> None:
    """Also where it is read before the runner has been told that the process runs."""
    workplace.group(
        {
            "server": 'entrypoint = "test_case:server"\nready_event = "up"\nready_timeout = 60',
            "client": 'command = ["true"]\nunit_dependencies = ["server"]',
        },
        """
        import signal
        def server():
            testrium.unit().exception(ValueError("no disk"))
            signal.pause()
        """,
        configs="timeout = 15",
    )
    assert workplace.run().codes == ["exception server:ValueError", "notrun client"]


def test_a_value_that_never_comes_is_no_pass(workplace: Workplace) -> None:
    workplace.group(
        {
            "server": 'command = ["true"]',
            "client": """
            command = ["sh", "-c", "test ${probe.server.up.port} = 4711"]
            unit_dependencies = ["server"]
            """,
        },
        configs="timeout = 1",
    )
    assert workplace.run().codes == ["unready client"]


def test_no_command_is_run(workplace: Workplace) -> None:
    workplace.group({"a": 'command = ["sh", "-c", "echo hello"]'})
    outcome = workplace.finish(workplace.start())
    assert outcome.exit_code == 0, outcome.stderr
    assert "1 passed" in outcome.stdout


def test_verbose_shows_the_output_of_units(workplace: Workplace) -> None:
    workplace.group({"a": 'command = ["sh", "-c", "echo hello; echo oops >&2"]'})
    outcome = workplace.finish(workplace.start("-v", "run"))
    assert "hello" in outcome.stdout
    assert "oops" in outcome.stdout


def test_groups_run_side_by_side(workplace: Workplace) -> None:
    code = """
    import time
    def a():
        testrium.unit().probe("done")
        time.sleep(0.6)
    """
    for name in ("one", "two", "three", "four"):
        workplace.group({"a": PROBE.format(name="a")}, code, name=name)
    outcome = workplace.run("-j", "4")
    assert outcome.exit_code == 0
    assert [group["id"] for group in outcome.report["groups"]] == ["four", "one", "three", "two"]
    assert outcome.report["duration_s"] < 4 * 0.6


def test_modes_and_repeats_are_results_of_their_own(workplace: Workplace) -> None:
    workplace.group(
        {"a": PROBE.format(name="a")},
        """
        import logging, os
        def a():
            mode, level = os.environ["TESTRIUM_MODE"], logging.getLogger().level
            assert logging.getLevelName(level) == mode
            testrium.unit().probe("done")
        """,
        configs='test-modes = ["DEBUG", "WARNING"]\nrepeat = 1',
    )
    outcome = workplace.run()
    results = [(group["mode"], group["repeat"]) for group in outcome.report["groups"]]
    assert results == [("DEBUG", 0), ("DEBUG", 1), ("WARNING", 0), ("WARNING", 1)]
    assert len({group["run_dir"] for group in outcome.report["groups"]}) == 4


def test_verify_judges_a_stored_run_with_the_rules_of_now(workplace: Workplace) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"'}, 'def a():\n    testrium.unit().probe("done")\n'
    )
    assert workplace.run().exit_code == 0
    unit = group / "units" / "a.toml"
    unit.write_text(unit.read_text() + 'events = ["done", "never"]\n')
    outcome = workplace.finish(
        workplace.start("verify", "--json", str(workplace.folder / "report.json"))
    )
    assert outcome.exit_code == 1
    assert outcome.codes == ["missing a:never"]


def test_what_a_killed_runner_had_not_stored_is_recovered(workplace: Workplace) -> None:
    group = workplace.group(
        {"a": 'entrypoint = "test_case:a"\nevents = ["last"]'},
        """
        import os, signal, time
        def a():
            me = testrium.unit()
            os.kill(int(open("runner").read()), signal.SIGSTOP)
            me.probe("last")
            open("emitted", "w").close()
            time.sleep(60)
        """,
    )
    process = workplace.start("run")
    (group / "runner").write_text(str(process.pid))
    wait_for_file(group / "emitted")
    process.kill()
    process.communicate()
    report = str(workplace.folder / "report.json")
    outcome = workplace.finish(workplace.start("verify", "--json", report))
    assert outcome.exit_code == 5
    assert outcome.codes[0] == "infra group"
    assert outcome.group["required"]["completed"] == [{"unit": "a", "step": "last"}]


BREAKS = {
    "its store is deleted": """
        import os, time
        def a():
            me = testrium.unit()
            os.remove(os.environ["TESTRIUM_EVENT_DB"])
            me.probe("done")
            time.sleep(60)
        """,
    "its keeper is killed": """
        import os, signal, time
        def a():
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        """,
    "the supervisor is killed": """
        import os, pathlib, signal, time
        def a():
            keeper = pathlib.Path(f"/proc/{os.getppid()}/stat").read_text()
            os.kill(int(keeper.rpartition(")")[2].split()[1]), signal.SIGKILL)
            time.sleep(60)
        """,
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_runner_ends_the_group_as_infra(workplace: Workplace, broken: str) -> None:
    workplace.group(
        {
            "a": 'entrypoint = "test_case:a"\nready_event = "up"',
            "b": 'entrypoint = "test_case:a"\nunit_dependencies = ["a"]',
        },
        BREAKS[broken],
        configs="timeout = 60",
    )
    outcome = workplace.run()
    assert outcome.exit_code == 5
    assert outcome.codes[0] in ("infra group", "infra a")


def test_a_defect_of_the_runner_ends_the_group_as_infra(workplace: Workplace) -> None:
    workplace.group({"a": 'entrypoint = "test_case:a"'}, "def a(): pass", configs="timeout = 60")
    workplace.write(
        workplace.folder / "broken.py",
        "from testrium.core import main\n"
        "from testrium.run.actor import Actor\n"
        "async def fails(self): raise ValueError('never foreseen')\n"
        "Actor.run_once = fails\n"
        "main()\n",
    )
    done = subprocess.run(
        [sys.executable, "broken.py", "run", "--json", "report.json"],
        cwd=workplace.folder,
        env=workplace.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 5
    report = json.loads((workplace.folder / "report.json").read_text())
    [group] = report["groups"]
    assert group["findings"][0]["code"] == "infra"
    assert "ValueError: never foreseen (broken.py:3)" in group["findings"][0]["message"]


def test_a_unit_without_process_that_never_becomes_ready_holds_nobody_up(
    workplace: Workplace,
) -> None:
    workplace.group(
        {
            "driver": 'ready_event = "up"\nevents = ["up"]',
            "a": 'entrypoint = "test_case:a"',
        },
        """
        def a():
            testrium.unit().probe("done")
        """,
        configs="timeout = 2",
    )
    outcome = workplace.run()
    assert "missing driver:up" in outcome.codes


def test_a_closed_standard_output_is_one_that_nobody_reads(workplace: Workplace) -> None:
    workplace.group({"a": PROBE.format(name="a")}, DONE)
    shell = f"{sys.executable} -m testrium run --json report.json >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", shell],
        cwd=workplace.folder,
        env=workplace.env,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((workplace.folder / "report.json").read_text())["verdict"] == "pass"


def test_a_full_disk_under_the_output_is_told_in_a_line(workplace: Workplace) -> None:
    workplace.group({"a": PROBE.format(name="a")}, DONE)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "testrium", "list"],
            cwd=workplace.folder,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_group_without_an_enabled_unit_is_skipped(workplace: Workplace) -> None:
    workplace.group({"a": PROBE.format(name="a") + "\nenabled = false"}, DONE)
    outcome = workplace.run()
    assert outcome.group["verdict"] == "skip"
    assert "enabled" in outcome.group["reason"]
