"""Hosts that are far: other clocks, a slow connection, a real sshd. Long forms, where rights allow.

A time namespace has a CLOCK_MONOTONIC of its own (time_namespaces(7)): what runs there has another
clock, on one machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import Workplace

#: Delays each byte by 2 ms on its way there, and by 6 ms on its way back.
RELAY = """
import os, subprocess, sys, threading, time
far = subprocess.Popen(["sh", "-c", sys.argv[-1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def pump(read, write, delay_s):
    while data := os.read(read, 65536):
        time.sleep(delay_s)
        os.write(write, data)
    os.close(write)
threading.Thread(target=pump, args=(0, far.stdin.fileno(), 0.002), daemon=True).start()
pump(far.stdout.fileno(), 1, 0.006)
"""

CODE = """
    import os, socket

    def client():
        me = testrium.unit()
        place = os.environ["TESTRIUM_ADDRESS_HOST"], int(os.environ["TESTRIUM_PORT_HOST_IN"])
        with socket.create_connection(place) as wire, wire.makefile("rw") as lines:
            for number in range(int(os.environ["KEYS"])):
                me.send("asked", key=f"k{number}")
                print(f"k{number}", file=lines, flush=True)
                me.receive("answered", key=lines.readline().strip())

    def host():
        me = testrium.unit()
        early = os.environ["EARLY"]
        with socket.create_server(("", int(os.environ["TESTRIUM_PORT_IN"]))) as server:
            while True:
                wire, _ = server.accept()
                with wire, wire.makefile("rw") as lines:
                    for line in lines:
                        key = line.strip()
                        if key != early:
                            me.receive("taken", key=key)
                        if key == "k1":
                            me.receive("taken", key=early) if early else None
                        print(key, file=lines, flush=True)
"""


def may_make(*options: str) -> bool:
    """Whether this process may make such a namespace."""
    command = ["unshare", *options, "true"]
    return (
        shutil.which("unshare") is not None
        and not subprocess.run(command, capture_output=True).returncode
    )


needs_time = pytest.mark.skipif(
    not may_make("--time", "--fork"), reason="no right to make a time namespace"
)


def group(workplace: Workplace, connect: list[str], keys: int, early: str = "") -> None:
    workplace.group(
        {
            "host": """
                host = "edge"
                entrypoint = "test_case:host"
                ports = ["in"]
                ready = {tcp = "${port.in}"}
            """,
            "client": 'entrypoint = "test_case:client"\nunit_dependencies = ["host"]',
        },
        CODE,
        configs="timeout = 60",
        tables=f"""
    [hosts.edge]
    connect = {json.dumps(connect)}
    address = "127.0.0.1"
    python = "{sys.executable}"
    [env]
    KEYS = "{keys}"
    EARLY = "{early}"
    [[circuits]]
    name = "request"
    route = ["client:asked", "host:taken", "client:answered"]
    keys = "{keys}"
    within = "30s"
    """,
    )


SKEWED = ["unshare", "--time", "--monotonic", "3600", "--fork", "sh", "-c"]


@needs_time
def test_clock_that_is_an_hour_off_is_told_from_a_true_reordering(workplace: Workplace) -> None:
    group(workplace, SKEWED, 50)
    outcome = workplace.run("group")
    assert outcome.exit_code == 0, outcome.stdout
    [note] = [note for note in outcome.group["notes"] if note["code"] == "clock"]
    assert note["where"] == "edge"
    assert "3600 s later than the runner's" in note["message"]
    database = Path(outcome.group["run_dir"], "Data.db")
    assert database.is_file()


@pytest.mark.soak
@needs_time
def test_ten_thousand_keys_of_two_clocks_are_in_order_and_one_is_not(workplace: Workplace) -> None:
    group(workplace, SKEWED, 10_000)
    outcome = workplace.run("group", limit_s=110)
    assert (outcome.exit_code, outcome.codes) == (0, []), outcome.stdout
    group(workplace, SKEWED, 10_000, early="k9000")
    outcome = workplace.run("group", limit_s=110)
    assert outcome.codes == ["causality host:taken"], outcome.stdout
    assert outcome.group["findings"][0]["keys"] == ["k9000"]


@pytest.mark.soak
@needs_time
def test_delay_of_the_pipe_widens_the_bound_and_claims_nothing_false(workplace: Workplace) -> None:
    relay = workplace.folder / "relay.py"
    workplace.write(relay, RELAY)
    group(workplace, [*SKEWED[:-2], sys.executable, str(relay)], 200)
    outcome = workplace.run("group")
    assert (outcome.exit_code, outcome.codes) == (0, []), outcome.stdout


@pytest.mark.skipif(not Path("/usr/sbin/sshd").exists(), reason="sshd is not installed")
@pytest.mark.soak
def test_units_run_behind_a_real_sshd(workplace: Workplace, tmp_path: Path) -> None:
    for name in ("host", "user"):
        key = str(tmp_path / name)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    serve = ["/usr/sbin/sshd", "-i", "-f", "/dev/null", "-h", str(tmp_path / "host")]
    options = [f"AuthorizedKeysFile={tmp_path}/authorized", "StrictModes=no", "UsePAM=no"]
    proxy = " ".join([*serve, *(f"-o {option}" for option in options)])
    asked = (
        f"ProxyCommand={proxy}",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
    )
    connect = ["ssh", "-i", str(tmp_path / "user"), *(w for o in asked for w in ("-o", o)), "edge"]
    group(workplace, connect, 20)
    outcome = workplace.run("group")
    assert outcome.exit_code == 0, outcome.stdout


@pytest.mark.soak
def test_runner_that_stops_is_outlived_by_nothing_for_two_seconds(workplace: Workplace) -> None:
    workplace.group(
        {"worker": 'host = "edge"\ncommand = ["sleep", "1000"]'},
        tables=f'[hosts.edge]\nconnect = ["sh", "-c"]\npython = "{sys.executable}"',
    )
    process = workplace.start("run", "group")
    children = wait_for(lambda: [one for one in units(workplace) if one.name() == "sleep"])
    process.send_signal(signal.SIGSTOP)  # the pipe stays open, and nothing comes
    _, alive = psutil.wait_procs(children, timeout=10)
    process.send_signal(signal.SIGCONT)
    assert alive == []
    process.communicate(timeout=30)
    assert process.returncode == 5


def units(workplace: Workplace) -> list[psutil.Process]:
    """The processes of this test."""
    found = []
    for one in psutil.process_iter():
        try:
            if workplace.mark in one.environ().values():
                found.append(one)
        except psutil.Error:
            continue
    return found


def wait_for(look: object) -> list[psutil.Process]:
    """What `look` finds, as soon as it does."""
    assert callable(look)
    end = time.monotonic() + 30
    while not (found := look()):
        assert time.monotonic() < end
        os.sched_yield()
    assert isinstance(found, list)
    return found
