"""Mixed groups side by side, for as long as one likes: nothing leaks, grows or gets lost."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace

#: Seconds after the first round in each run of the tests, and in the long form; TESTRIUM_SOAK_S
#: says others for both.
SHORT_S = 2.0
LONG_S = 90.0

KEYS = 50
CIRCUIT = f'[[circuits]]\nname = "c"\nroute = ["a:sent", "b:received"]\nkeys = "{KEYS}"'
SERVICE = 'entrypoint = "test_case:b"\nready_event = "up"\nports = ["p"]'
CLIENT = 'entrypoint = "test_case:a"\nunit_dependencies = ["b"]'
CODE = """
import os, signal, socket, subprocess, sys, threading, time

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
        "socket.create_connection(('127.0.0.1', int(os.environ['TESTRIUM_PORT_B_P']))).close()",
        "pass",
        '[[faults]]\nlink = "b.p"\ndo = "latency"\nvalue = "1ms"',
    ),
    "deaf": ("pass", "signal.signal(signal.SIGTERM, signal.SIG_IGN)", ""),
}

#: What may be used more of after the first third of the time; and memory (bytes) for each result
#: besides, which the report in the end tells.
RATIO = 1.3
PER_RESULT = 15_000

#: With fewer results than this, all that is used comes from the beginning.
WARM = 20 * len(KINDS)


class Use(NamedTuple):
    """What the runner and its supervisor use at one time."""

    memory: int
    descriptors: int


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
    usual_s = LONG_S if request.config.getoption("--soak") else SHORT_S
    limit_s = float(os.environ.get("TESTRIUM_SOAK_S", usual_s))
    temporary = workplace.folder / "temporary"
    temporary.mkdir()
    workplace.env["TMPDIR"] = str(temporary)
    process = started(workplace)
    wait_round(workplace.folder / "output.txt", process)
    uses = watched(process.pid, limit_s)
    process.send_signal(signal.SIGINT)
    outcome = workplace.finish(process)
    said = (workplace.folder / "output.txt").read_text()[-3000:]
    assert outcome.exit_code == 130, said
    results = outcome.report["groups"]
    ended = [result for result in results if not interrupted(result)]
    told = "".join(f"\n{use}" for use in uses[:: max(1, len(uses) // 10)])
    print(  # noqa: T201 - the figures, for who asks with `pytest -s`
        f"{limit_s:.0f} s: {len(ended)} groups, {2 * KEYS * len(ended)} probes of circuits{told}"
    )
    assert len(ended) >= len(KINDS)
    assert {result["verdict"] for result in ended} == {"pass"}, said
    assert {result["circuits"][0]["instances"] for result in ended} == {KEYS}
    if len(ended) >= WARM:
        check_flat(uses, len(results))
    assert len(list((workplace.folder / ".testrium" / "runs").glob("*/*/"))) <= len(KINDS)
    assert not list(temporary.iterdir())


def started(workplace: Workplace) -> subprocess.Popen[str]:
    """The run; nobody reads meanwhile what it says, so it goes to a file: a pipe would be full."""
    report = workplace.folder / "report.json"
    options = ["-j", "8", "--until-fail", "--keep", "failed", "--json", str(report), "--plain"]
    with Path(workplace.folder, "output.txt").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "testrium", "run", *options],
            cwd=workplace.folder,
            env=workplace.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


def wait_round(said: Path, process: subprocess.Popen[str]) -> None:
    """Wait until each group has passed, however long that takes on this machine."""
    while said.read_text().count("PASS") < len(KINDS):
        assert process.poll() is None, said.read_text()
        time.sleep(0.05)


def check_flat(uses: list[Use], results: int) -> None:
    """The last third against the one before; in medians, as a moment on a busy machine is noise."""
    third = len(uses) // 3
    _, middle, last = (uses[at * third : (at + 1) * third] for at in range(3))
    memory = [statistics.median(use.memory for use in part) for part in (middle, last)]
    assert memory[1] < RATIO * memory[0] + PER_RESULT * results
    most = [max(use.descriptors for use in part) for part in (middle, last)]
    assert most[1] < RATIO * most[0] + len(KINDS)


def watched(runner: int, limit_s: float) -> list[Use]:
    """What the runner and its supervisor use, until the time is over or they end."""
    process = psutil.Process(runner)
    end = time.monotonic() + limit_s
    samples = []
    while time.monotonic() < end and process.is_running():
        try:
            both = [process, *process.children()]
            memory = sum(each.memory_info().rss for each in both)
            samples.append(Use(memory, sum(each.num_fds() for each in both)))
        except psutil.Error:  # one that has just ended
            pass
        time.sleep(0.1)
    return samples


def interrupted(result: dict[str, Any]) -> bool:
    """Whether it was cut off by the end of the test."""
    return bool(result["verdict"] == "error")
