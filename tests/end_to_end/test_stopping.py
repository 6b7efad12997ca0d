"""How units are told to stop, what goes with them, and what they may leave."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Outcome, Workplace

#: A pool that finishes its job when it is told to stop: a signal to its child would break it.
POOL = """
    import multiprocessing, os, signal, sys, time

    def job(path):
        testrium.unit().probe("taken", key="k1")
        while not os.path.exists(path):
            time.sleep(0.005)
        testrium.unit().probe("stored", key="k1")

    def worker():
        child = multiprocessing.get_context("fork").Process(target=job, args=("go.txt",))
        child.start()

        def finish(*_):
            open("go.txt", "w").close()
            child.join()
            sys.exit(child.exitcode)

        signal.signal(signal.SIGTERM, finish)
        while True:
            signal.pause()

    def client():
        testrium.unit().wait_for("worker:taken")
"""

WORKER = 'entrypoint = "test_case:worker"\nstop = "runner"\nready_event = "taken"\n'
CLIENT = 'entrypoint = "test_case:client"\nunit_dependencies = ["worker"]\nquiet = true\n'


def stopped(
    workplace: Workplace, code: str, keys: str = "", *, tables: str = "", ready: str = WORKER
) -> Outcome:
    """A run in which `worker` is a service that `client` needs only until it is ready."""
    workplace.group({"worker": ready + keys, "client": CLIENT}, code, tables=tables)
    return workplace.run()


def test_only_the_main_process_is_told_so_that_its_child_finishes_its_job(
    workplace: Workplace,
) -> None:
    outcome = stopped(workplace, POOL, 'stop_events = ["stored"]')
    assert outcome.codes == []
    assert outcome.exit_code == 0


def test_with_session_all_of_it_is_told(workplace: Workplace) -> None:
    outcome = stopped(workplace, POOL, 'stop_events = ["stored"]\nstop_to = "session"')
    assert "missing worker:stored" in outcome.codes
    assert outcome.exit_code == 1


def test_the_rest_of_the_session_ends_with_its_main_process_without_a_leak(
    workplace: Workplace,
) -> None:
    code = """
        import signal, subprocess
        def worker():
            child = subprocess.Popen(["sh", "-c", "trap '' TERM; echo; sleep 1000"], stdout=-1)
            child.stdout.readline()
            testrium.unit().probe("taken")
            signal.pause()
        def client():
            pass
    """
    outcome = stopped(workplace, code)
    assert outcome.codes == []
    assert outcome.exit_code == 0


def test_a_shell_that_does_not_pass_the_signal_on_loses_its_batch(workplace: Workplace) -> None:
    code = """
        import os, signal, sys, time
        def flush(*_):
            testrium.unit().probe("flushed")
            sys.exit()
        if __name__ == "__main__":
            signal.signal(signal.SIGTERM, flush)
            testrium.unit().probe("taken")
            while True:
                signal.pause()
        def client():
            pass
    """
    command = 'command = ["sh", "-c", "{python} test_case.py; true"]\nstop = "runner"\n'
    keys = 'ready_event = "taken"\nstop_events = ["flushed"]\nexit = [0, 143]\n'
    outcome = stopped(workplace, code, keys, ready=command.replace("{python}", sys.executable))
    assert outcome.codes == ["missing worker:flushed"]
    assert outcome.exit_code == 1


@pytest.mark.parametrize(
    ("end", "good"),
    [
        ("sys.exit(0)", True),
        ("sys.exit(128 + 15)", True),
        ("signal.signal(15, signal.SIG_DFL); os.kill(os.getpid(), 15)", True),
        ("sys.exit(3)", False),
        ("os.kill(os.getpid(), signal.SIGSEGV)", False),
    ],
)
def test_how_a_unit_may_end_that_was_told_to_stop(
    workplace: Workplace, end: str, good: bool
) -> None:
    code = f"""
        import os, signal, sys
        def finish(*_):
            {end}
        def worker():
            signal.signal(signal.SIGTERM, finish)
            testrium.unit().probe("taken")
            while True:
                signal.pause()
        def client():
            pass
    """
    outcome = stopped(workplace, code)
    state = outcome.unit("worker")["state"]
    assert state == ("stopped" if good else "failed")


def test_what_it_may_leave_stays_until_the_group_ends(workplace: Workplace) -> None:
    code = """
        import subprocess, time, os
        def worker():
            subprocess.run(["sh", "-c", "setsid sleep 1000 & echo $! > pid.txt"])
            testrium.unit().probe("taken")
        def client():
            me = testrium.unit()
            end = time.monotonic() + 0.5  # longer than a leak is waited for
            while time.monotonic() < end:
                os.kill(int(open("pid.txt").read()), 0)
                time.sleep(0.01)
            me.probe("used")
    """
    own = 'entrypoint = "test_case:worker"\n'
    client = 'entrypoint = "test_case:client"\nunit_dependencies = ["worker"]\nevents = ["used"]\n'
    for keys, codes in (('may_leave = ["sleep"]\n', []), ("", ["leak worker"])):
        units = {"worker": own + 'stop = "self"\n' + keys, "client": client}
        workplace.group(units, code)
        outcome = workplace.run()
        if codes:
            assert codes[0] in outcome.codes
        else:
            assert outcome.codes == []


#: A worker that takes one order after the other from a folder, and finishes it when it is stopped.
ORDERS = """
    import os, signal, sys, time
    stopping = []

    def worker():
        me = testrium.unit()
        signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
        me.probe("up")
        done = 0
        for key in ("k1", "k2", "k3", "k4"):
            path = f"{key}.done"
            if os.path.exists(path):
                continue
            me.receive("taken", key=key)
            open(path, "w").close()
            me.probe("stored", key=key)
            if stopping:
                sys.exit()

    def client():
        me = testrium.unit()
        for key in ("k1", "k2", "k3", "k4"):
            me.send("sent", key=key)
"""
ROUTE = """
    [[circuits]]
    name = "orders"
    route = ["client:sent", "worker:taken", "worker:stored"]
    keys = "4"
"""
ORDER_UNITS = {
    "worker": """
        entrypoint = "test_case:worker"
        ready_event = "up"
        unit_dependencies = ["client"]
    """,
    "client": 'entrypoint = "test_case:client"\nstop = "self"\n',
}


def test_a_rolling_restart_is_stopped_as_the_runner_stops_and_started_again(
    workplace: Workplace,
) -> None:
    fault = '[[faults]]\nat = "worker:taken"\non = 2\ndo = "restart"\n'
    workplace.group(ORDER_UNITS, ORDERS, tables=ROUTE + fault)
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.exit_code == 0
    assert outcome.unit("worker")["starts"] == 2  # in-except is Stop, and restarts 0
    (told,) = outcome.group["faults"]
    assert (told["name"], told["key"]) == ("restart at worker:taken", "k2")


def test_a_unit_that_ends_badly_during_a_restart_has_failed(workplace: Workplace) -> None:
    code = ORDERS.replace("sys.exit()", "sys.exit(3)")
    fault = '[[faults]]\nat = "worker:taken"\ndo = "restart"\n'
    workplace.group(ORDER_UNITS, code, tables=ROUTE + fault)
    outcome = workplace.run()
    unit = outcome.unit("worker")
    assert (unit["starts"], unit["state"], unit["exit_code"]) == (1, "failed", 3)


@pytest.mark.parametrize("command", [False, True])
def test_a_signal_is_sent_before_the_probe_returns(workplace: Workplace, command: bool) -> None:
    code = (
        ORDERS
        + """
    if __name__ == "__main__":
        worker()
    """
    )
    units = dict(ORDER_UNITS)
    if command:
        units["worker"] = units["worker"].replace(
            'entrypoint = "test_case:worker"', f'command = ["{sys.executable}", "test_case.py"]'
        )
    fault = """
        [[faults]]
        at = "worker:taken"
        on = 2
        do = "signal"
        signal = "TERM"
    """
    route = ROUTE.replace('keys = "4"', 'keys = "2"\nopen = true').replace('"client:sent", ', "")
    workplace.group(units, code, tables=route + fault, configs="timeout = 10")
    outcome = workplace.run()
    assert (workplace.folder / "group" / "k2.done").exists()
    assert not (workplace.folder / "group" / "k3.done").exists()
    (told,) = outcome.group["faults"]
    assert told["name"] == "TERM at worker:taken"
    assert outcome.unit("worker")["exit_code"] == 0


def test_a_shell_can_be_signalled_and_restarted(workplace: Workplace) -> None:
    script = """
        trap 'echo "{\\"step\\": \\"flushed\\"}" >> $TESTRIUM_PROBES; exit 0' TERM
        if [ -e again ]; then echo '{"step": "taken"}' >> $TESTRIUM_PROBES; exit 0; fi
        touch again
        echo '{"step": "taken"}' >> $TESTRIUM_PROBES
        while :; do sleep 0.01; done
    """
    units = {"worker": 'command = ["sh", "work.sh"]\nevents = ["taken", "flushed"]'}
    fault = '[[faults]]\nat = "worker:taken"\ndo = "restart"\n'
    folder = workplace.group(units, tables=fault)
    workplace.write(folder / "work.sh", textwrap.dedent(script))
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.unit("worker")["starts"] == 2


def test_a_kill_of_the_emitter_leaves_the_main_process(workplace: Workplace) -> None:
    code = """
        import os
        def worker():
            me = testrium.unit()
            if os.fork() == 0:
                me.probe("taken")
                me.probe("never")
                os._exit(0)
            _, status = os.wait()
            me.probe("saw", signal=os.WTERMSIG(status))
    """
    fault = '[[faults]]\nat = "worker:taken"\ndo = "kill"\nto = "emitter"\n'
    workplace.group(
        {"worker": 'entrypoint = "test_case:worker"\nevents = ["saw"]'},
        code,
        tables=fault,
    )
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.exit_code == 0
