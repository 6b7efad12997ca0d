"""Limits, use of memory and CPU, and what is kept of a failure, through the command line."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Outcome, Workplace

#: Lives until it was sampled: `testrium.unit().wait_for` of nothing is a wait without a sleep.
LIVE = """
import signal, threading
def live(seconds):
    threading.Event().wait(seconds)
"""


def run_dir(outcome: Outcome) -> Path:
    return Path(outcome.group["run_dir"])


def samples(outcome: Outcome) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run_dir(outcome) / "Data.db")) as connection:
        return connection.execute("SELECT Unit, Rss, Children FROM Samples ORDER BY ID").fetchall()


def finding(outcome: Outcome, code: str) -> dict[str, Any]:
    return next(dict(found) for found in outcome.group["findings"] if found["code"] == code)


# Limits ---------------------------------------------------------------------------------------


def test_memory_of_a_unit_and_its_descendants_is_limited(workplace: Workplace) -> None:
    workplace.group(
        {"fat": 'entrypoint = "test_case:fat"\nmax_rss = "60MB"'},
        LIVE
        + """
import os
def fat():
    testrium.unit().probe("here")
    if (pid := os.fork()) == 0:
        kept = bytearray(80_000_000)
        live(0.6)
        os._exit(0)
    os.waitpid(pid, 0)
""",
    )
    outcome = workplace.run()
    assert outcome.exit_code == 1
    assert outcome.codes == ["limit fat"]
    assert "max_rss is 60.0 MB" in finding(outcome, "limit")["message"]
    assert outcome.unit("fat")["exit_code"] == 0, "it is not killed"
    again = workplace.finish(workplace.start("verify"))
    assert again.exit_code == 1
    assert "limit at fat" in again.stdout


def test_a_stored_run_is_judged_by_the_limits_as_they_are_now(workplace: Workplace) -> None:
    folder = workplace.group(
        {"fat": 'entrypoint = "test_case:fat"\nmax_rss = "1MB"'},
        LIVE + "def fat():\n    testrium.unit().probe('here')\n    live(0.1)\n",
    )
    assert workplace.run().codes == ["limit fat"]
    unit = folder / "units" / "fat.toml"
    unit.write_text(unit.read_text().replace("1MB", "900MB"))
    assert workplace.finish(workplace.start("verify")).exit_code == 0


def test_cpu_is_limited_as_a_mean_over_a_second(workplace: Workplace) -> None:
    workplace.group(
        {
            "busy": 'entrypoint = "test_case:busy"\nmax_cpu = 5',
            "idle": 'entrypoint = "test_case:idle"\nmax_cpu = 50',
        },
        LIVE
        + """
import time
def busy():
    testrium.unit().probe("here")
    until = time.monotonic() + 1.7
    while time.monotonic() < until:
        pass
def idle():
    testrium.unit().probe("here")
    live(1.4)
""",
    )
    outcome = workplace.run()
    assert outcome.codes == ["limit busy"]
    assert "max_cpu is 5 %" in finding(outcome, "limit")["message"]


def test_a_short_unit_with_a_limit_is_sampled_from_its_start(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'command = ["sleep", "0.15"]\nmax_rss = "100kB"', "b": 'command = ["sleep", "0.05"]'}
    )
    outcome = workplace.run()
    assert outcome.codes == ["limit a"]
    assert {row[0] for row in samples(outcome)} == {"a"}


# Use ------------------------------------------------------------------------------------------


def test_the_report_has_the_use_of_every_unit(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"', "b": 'command = ["sleep", "0.3"]'},
        LIVE
        + """
def a():
    testrium.unit().probe("here")
    live(0.3)
""",
    )
    outcome = workplace.run()
    a, b = outcome.unit("a"), outcome.unit("b")
    assert a["max_rss"] > 5_000_000
    assert a["cpu_s"] >= 0
    assert (a["peak_children"], a["peak_threads"]) == (0, 1)
    assert b["max_rss"] > 100_000
    assert {row[0] for row in samples(outcome)} == {"a", "b"}
    summary = (run_dir(outcome) / "summary.txt").read_text()
    assert "CPU" in summary
    assert " MB" in summary
    shown = workplace.finish(workplace.start("show", "--plain")).stdout
    assert "passed" in shown


def test_without_gen_metrics_nothing_is_measured(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'command = ["sleep", "0.3"]'}, configs="timeout = 10\ngen-metrics = false"
    )
    outcome = workplace.run()
    assert samples(outcome) == []
    assert outcome.unit("a")["cpu_s"] is None
    assert "memory" not in (run_dir(outcome) / "summary.txt").read_text()


# Diagnostics ----------------------------------------------------------------------------------

DEADLOCK = """
import threading
def host():
    me = testrium.unit()
    stock, ledger, both = threading.Lock(), threading.Lock(), threading.Barrier(2)
    def left():
        with stock:
            both.wait()
            me.probe("left")
            ledger.acquire()
    def right():
        with ledger:
            both.wait()
            me.probe("right")
            stock.acquire()
    other = threading.Thread(target=left)
    other.start()
    right()
"""


def test_both_threads_of_a_deadlock_are_shown(workplace: Workplace) -> None:
    workplace.group({"host": 'entrypoint = "test_case:host"'}, DEADLOCK, configs="timeout = 0.6")
    outcome = workplace.run()
    assert outcome.codes == ["hang host"]
    main, other = outcome.unit("host")["threads"]
    assert main.startswith("main thread at test_case.py:")
    assert "in right: stock.acquire()" in main
    assert "in left: ledger.acquire()" in other
    assert main in outcome.stdout
    assert other in outcome.stdout
    kept = (run_dir(outcome) / "diagnostics.txt").read_text()
    assert main in kept
    assert other in kept
    assert "host: test_case:host" in kept, "its process, although it was stopped"


def test_who_does_not_become_ready_is_shown_with_what_it_does_and_said(
    workplace: Workplace,
) -> None:
    workplace.group(
        {
            "api": """
                entrypoint = "test_case:api"
                ports = ["http"]
                ready = {tcp = "${port.http}"}
                ready_timeout = 0.4
            """
        },
        """
        import threading
        def api():
            testrium.unit().probe("up")
            print("waiting for the database")
            threading.Event().wait()
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == ["unready api"]
    assert "not become ready after 0.4 s: 127.0.0.1 port" in outcome.stdout
    assert "refused" in outcome.stdout
    assert "waiting for the database" in outcome.stdout
    assert "in api: threading.Event().wait()" in outcome.stdout


def test_a_crash_keeps_what_the_others_were_doing(workplace: Workplace) -> None:
    workplace.group(
        {
            "service": 'entrypoint = "test_case:service"\nready_event = "up"',
            "client": 'entrypoint = "test_case:client"\nunit_dependencies = ["service"]',
        },
        """
        import os, signal, subprocess
        def service():
            subprocess.Popen(["sleep", "60"])
            print("serving")
            testrium.unit().probe("up")
            signal.pause()
        def client():
            testrium.unit().probe("here")
            os._exit(3)
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == ["crash client"]
    kept = (run_dir(outcome) / "diagnostics.txt").read_text()
    assert "the end of client stops the group" in kept
    assert "sleep" in kept
    assert "serving" in kept
    assert "in service: signal.pause()" in kept
    assert "in service" in (run_dir(outcome) / "units" / "service" / "stacks.txt").read_text()


def test_a_lost_message_keeps_what_the_services_were_doing(workplace: Workplace) -> None:
    workplace.group(
        {
            "service": 'entrypoint = "test_case:service"\nready_event = "up"',
            "client": 'entrypoint = "test_case:client"\nunit_dependencies = ["service"]',
        },
        """
        import signal
        def service():
            testrium.unit().probe("up")
            signal.pause()
        def client():
            testrium.unit().send("sent", key="k1")
        """,
        configs="timeout = 0.8",
    )
    outcome = workplace.run()
    assert outcome.codes[0] == "lost client:sent"
    kept = (run_dir(outcome) / "diagnostics.txt").read_text()
    assert "the group's deadline" in kept
    assert "in service: signal.pause()" in kept


def test_an_interrupt_keeps_what_the_units_were_doing(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        import pathlib, signal
        def a():
            testrium.unit().probe("here")
            pathlib.Path("started").touch()
            signal.pause()
        """,
    )
    process = workplace.start("run", "--json", str(workplace.folder / "report.json"))
    started = workplace.folder / "group" / "started"
    while not started.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    outcome = workplace.finish(process)
    assert outcome.exit_code == 130
    assert "in a: signal.pause()" in (run_dir(outcome) / "diagnostics.txt").read_text()


def test_what_passes_leaves_no_diagnostics(workplace: Workplace) -> None:
    workplace.group({"a": 'command = ["true"]'})
    outcome = workplace.run()
    assert outcome.codes == []
    assert not (run_dir(outcome) / "diagnostics.txt").exists()


def test_what_recovers_leaves_no_diagnostics(workplace: Workplace) -> None:
    workplace.group(
        {
            "a": """
                entrypoint = "test_case:a"
                ready_event = "up"
                ready_timeout = 0.5
                stop = "self"
                in-except = "Reload"
            """
        },
        """
        import pathlib, signal
        def a():
            testrium.unit().probe("here")
            if not pathlib.Path("second").exists():
                pathlib.Path("second").touch()
                signal.pause()
            testrium.unit().probe("up")
        """,
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.unit("a")["starts"] == 2
    assert not (run_dir(outcome) / "diagnostics.txt").exists()


def test_a_teardown_that_hangs_is_shown(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'command = ["true"]'},
        configs="timeout = 0.5",
        teardown="import signal\ndef main():\n    signal.pause()\n",
    )
    outcome = workplace.run()
    assert outcome.codes == ["hang teardown"]
    assert "in main: signal.pause()" in outcome.unit("teardown")["threads"][0]
    assert "teardown.py failed" in (run_dir(outcome) / "diagnostics.txt").read_text()


def test_diagnostics_can_be_switched_off(workplace: Workplace) -> None:
    workplace.group(
        {"host": 'entrypoint = "test_case:host"'},
        DEADLOCK,
        configs="timeout = 0.6\ndiagnostics = false",
    )
    outcome = workplace.run()
    assert outcome.codes == ["hang host"]
    assert outcome.unit("host")["threads"] == []
    assert not (run_dir(outcome) / "diagnostics.txt").exists()


# stderr = "forbid" ----------------------------------------------------------------------------


def test_a_traceback_that_was_caught_is_found_where_stderr_is_forbidden(
    workplace: Workplace,
) -> None:
    code = """
    import traceback
    def a():
        testrium.unit().probe("here")
        try:
            {}["missing"]
        except KeyError:
            traceback.print_exc()
    """
    units = {"a": 'entrypoint = "test_case:a"'}
    workplace.group(units, code, tables='[verify]\nstderr = "forbid"', name="strict")
    workplace.group(units, code, name="plain")
    outcome = workplace.run()
    groups = {group["id"]: group for group in outcome.report["groups"]}
    assert groups["plain"]["findings"] == []
    (found,) = groups["strict"]["findings"]
    assert (found["code"], found["where"]) == ("exception", "a:KeyError")
    again = workplace.finish(workplace.start("verify"))
    assert again.exit_code == 1


def test_a_failing_test_is_not_found_twice_where_stderr_is_forbidden(workplace: Workplace) -> None:
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'},
        """
        def a():
            testrium.unit().probe("here")
        def test_it():
            assert False, "no"
        """,
        tables='[verify]\nstderr = "forbid"',
    )
    assert workplace.run().codes == ["test test_it"]


def test_the_summary_of_a_group_is_read_back(workplace: Workplace) -> None:
    workplace.group({"a": 'command = ["sleep", "0.3"]'})
    outcome = workplace.run()
    summary = json.loads((run_dir(outcome) / "summary.json").read_text())
    shown = workplace.finish(workplace.start("show", "--plain", outcome.report["run"], "group"))
    assert shown.exit_code == 0
    assert f"{summary['units'][0]['max_rss'] / 1e6:.1f} MB" in shown.stdout
