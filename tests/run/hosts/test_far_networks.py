"""Hosts that are far: other clocks, a slow connection, a real sshd. Long forms, where rights allow.

A time namespace has a CLOCK_MONOTONIC of its own (time_namespaces(7)): what runs there has another
clock, on one machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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


class Sshd(NamedTuple):
    """A server with a configuration, keys and a port of its own: `connect` for it, and its ends.

    `connections` are the processes that serve the connections.
    """

    connect: list[str]
    connections: list[subprocess.Popen[bytes]]


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """Serves this user at a port of 127.0.0.1, started for each connection as by inetd."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("sshd or ssh is not installed")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as its package does at a start
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(command, check=True)
    settings = f"""
        HostKey {tmp_path}/host
        AuthorizedKeysFile {tmp_path}/user.pub
        StrictModes no
        UsePAM no
        PasswordAuthentication no
        PidFile none
    """
    (tmp_path / "sshd_config").write_text(textwrap.dedent(settings))
    serve = [program, "-i", "-e", "-f", str(tmp_path / "sshd_config")]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"[127.0.0.1]:{listener.getsockname()[1]}"
        key = (tmp_path / "host.pub").read_text()
        (tmp_path / "known").write_text(f"{place} {key}")
        asked = f"""
            Host edge
            HostName 127.0.0.1
            Port {listener.getsockname()[1]}
            IdentityFile {tmp_path}/user
            IdentitiesOnly yes
            UserKnownHostsFile {tmp_path}/known
            BatchMode yes
        """
        (tmp_path / "ssh_config").write_text(textwrap.dedent(asked))
        connections: list[subprocess.Popen[bytes]] = []
        accepting = threading.Thread(target=accept, args=(listener, serve, connections))
        accepting.start()
        yield Sshd(["ssh", "-F", str(tmp_path / "ssh_config"), "edge"], connections)
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for connection in connections:
        connection.kill()
        connection.wait()


def accept(
    listener: socket.socket, serve: list[str], connections: list[subprocess.Popen[bytes]]
) -> None:
    """Start a server for each connection until the listener is shut down."""
    while True:
        try:
            wire, _ = listener.accept()
        except OSError:
            return
        with wire:
            server = subprocess.Popen(
                serve, stdin=wire.fileno(), stdout=wire.fileno(), stderr=subprocess.DEVNULL
            )
            connections.append(server)


def test_units_run_behind_a_real_sshd(workplace: Workplace, sshd: Sshd) -> None:
    group(workplace, sshd.connect, 20)
    outcome = workplace.run("group")
    assert outcome.exit_code == 0, outcome.stdout
    assert len(sshd.connections) == 1


@pytest.mark.soak
def test_nothing_outlives_an_ssh_connection_that_is_cut(workplace: Workplace, sshd: Sshd) -> None:
    workplace.group(
        {"worker": 'host = "edge"\ncommand = ["sleep", "1000"]'},
        tables=f"[hosts.edge]\nconnect = {json.dumps(sshd.connect)}\n"
        f"python = '{sys.executable}'\n[env]\nPLACE = '{workplace.mark}'",
    )
    process = workplace.start("run", "group")
    children = wait_for(lambda: units(workplace, "sleep"))
    sshd.connections[0].kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "hosts.edge: the pipe has broken" in output


@pytest.mark.soak
def test_runner_that_stops_is_outlived_by_nothing_for_two_seconds(workplace: Workplace) -> None:
    workplace.group(
        {"worker": 'host = "edge"\ncommand = ["sleep", "1000"]'},
        tables=f'[hosts.edge]\nconnect = ["sh", "-c"]\npython = "{sys.executable}"',
    )
    process = workplace.start("run", "group")
    children = wait_for(lambda: units(workplace, "sleep"))
    process.send_signal(signal.SIGSTOP)  # the pipe stays open, and nothing comes
    _, alive = psutil.wait_procs(children, timeout=10)
    process.send_signal(signal.SIGCONT)
    assert alive == []
    process.communicate(timeout=30)
    assert process.returncode == 5


def units(workplace: Workplace, name: str = "") -> list[psutil.Process]:
    """The processes of this test; those of one program, if it is named."""
    found = []
    for one in psutil.process_iter():
        try:
            if workplace.mark in one.environ().values() and name in ("", one.name()):
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
