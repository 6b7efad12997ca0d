"""Mixed groups side by side, for as long as one likes: nothing leaks, grows or gets lost."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace

#: Seconds in each CI run; in the long form, which TESTRIUM_SOAK_S may make longer.
SHORT_S = 4.0
LONG_S = 90.0

KEYS = 50
CIRCUIT = f'[[circuits]]\nname = "c"\nroute = ["a:sent", "b:received"]\nkeys = "{KEYS}"'
SERVICE = 'entrypoint = "test_case:b"\nready_event = "up"\nports = ["p"]'
CLIENT = 'entrypoint = "test_case:a"\nunit_dependencies = ["b"]'
CODE = """
import signal, subprocess, sys, threading, time

KEYS = 50

def a():
    me = testrium.unit()
    for number in range(KEYS):
        me.send("sent", key=f"k{number}")
    CLIENT_DOES

def b():
    me = testrium.unit()
    me.probe("up")
    for number in range(KEYS):
        me.wait_for("a:sent", key=f"k{number}", timeout=30)
        me.receive("received", key=f"k{number}")
    SERVICE_DOES
    signal.pause()
"""

#: What else the client and the service do, and tables of the group.
KINDS = {
    "plain": ("pass", "pass", ""),
    "children": ("subprocess.run(['true'], check=True)", "subprocess.Popen(['sleep', '60'])", ""),
    "threads": ("pass", "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()", ""),
    "output": ("print('x' * 100_000)", "print('y' * 100_000, file=sys.stderr)", ""),
    "metadata": ("me.probe('large', text='z' * 500_000)", "pass", ""),
    "delayed": (
        "pass",
        "pass",
        '[[faults]]\nat = "b:received"\ndo = "delay"\nfor = "5ms"',
    ),
    "linked": (
        "pass",
        "pass",
        '[[faults]]\nlink = "b.p"\ndo = "latency"\nvalue = "1ms"',
    ),
    "deaf": ("pass", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", ""),
}

#: Bytes that the runner may grow by, and more for each result that it has to report in the end.
ROOM = 40_000_000
PER_RESULT = 60_000


@pytest.mark.timeout(4000)
def test_mixed_groups_side_by_side_leave_nothing_and_need_no_more_memory(
    workplace: Workplace, request: pytest.FixtureRequest
) -> None:
    for kind, (client, service, tables) in KINDS.items():
        workplace.group(
            {"b": SERVICE + "\ngrace = 0.2", "a": CLIENT},
            CODE.replace("CLIENT_DOES", client).replace("SERVICE_DOES", service),
            configs="timeout = 60",
            tables=f"{CIRCUIT}\n{tables}",
            name=kind,
        )
    limit_s = SHORT_S
    if request.config.getoption("--soak"):
        limit_s = float(os.environ.get("TESTRIUM_SOAK_S", LONG_S))
    report = workplace.folder / "report.json"
    process = workplace.start(
        "run", "-j", "8", "--until-fail", "--keep", "failed", "--json", str(report), "--plain"
    )
    memory = watched(process.pid, limit_s)
    process.send_signal(signal.SIGINT)
    outcome = workplace.finish(process)
    assert outcome.exit_code == 130, outcome.stdout[-3000:]
    results = outcome.report["groups"]
    ended = [result for result in results if not interrupted(result)]
    assert len(ended) >= len(KINDS)
    assert {result["verdict"] for result in ended} == {"pass"}, outcome.stdout[-3000:]
    assert memory[-1] - memory[len(memory) // 3] < ROOM + PER_RESULT * len(results)
    assert len(list((workplace.folder / ".testrium" / "runs").glob("*/*/"))) <= len(KINDS)


def watched(runner: int, limit_s: float) -> list[int]:
    """The resident memory of the runner and its supervisor, until the time is over or they end."""
    process = psutil.Process(runner)
    end = time.monotonic() + limit_s
    samples = []
    while time.monotonic() < end and process.is_running():
        try:
            samples.append(sum(each.memory_info().rss for each in [process, *process.children()]))
        except psutil.Error:
            break
        time.sleep(0.1)
    return samples


def interrupted(result: dict[str, object]) -> bool:
    """Whether it was cut off by the end of the test."""
    return result["verdict"] == "error"
