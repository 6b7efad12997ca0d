"""Units on other hosts: what holds at home holds there, and nothing is left when the pipe breaks.

The other host is this machine behind a shell: its supervisor, folder and files are others.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import MARK, Workplace

EDGE = """
    [hosts.edge]
    connect = ["sh", "-c"]
    address = "127.0.0.1"
    python = '{python}'
"""

CODE = """
    import os, socket, subprocess, sys

    def client():
        me = testrium.unit()
        me.send("asked", key="k1")
        host, port = os.environ["TESTRIUM_ADDRESS_WORKER"], os.environ["TESTRIUM_PORT_WORKER_IN"]
        with socket.create_connection((host, int(port))) as wire:
            wire.sendall(b"k1")
            assert wire.recv(10) == b"ok"
        me.receive("answered", key="k1")

    def worker():
        me = testrium.unit()
        print("in", os.getcwd(), sys.executable, flush=True)
        server = socket.create_server(("", int(os.environ["TESTRIUM_PORT_IN"])))
        open("listens", "w").close()
        while True:
            wire, _ = server.accept()
            if key := wire.recv(10).decode():
                asked = me.wait_for("client:asked", key=key, timeout=5)
                me.receive("taken", key=key, waited_for=asked.step)
                wire.sendall(b"ok")
            wire.close()

    def breaks_its_pipe():
        pid = os.getpid()
        for _ in range(3):  # its keeper, the supervisor, the agent
            pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
        subprocess.Popen(["sleep", "1000"])
        testrium.unit().probe("about-to", folder=os.getcwd())
        testrium.unit().wait_for("worker:about-to", timeout=5)  # it is at home
        os.kill(pid, 9)
        subprocess.run(["sleep", "1000"])
"""


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without Testrium, and without any other package."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin" / "python"


def test_unit_on_another_host_takes_part_as_at_home(
    workplace: Workplace, bare_python: Path
) -> None:
    workplace.group(
        {
            "client": 'entrypoint = "test_case:client"\nunit_dependencies = ["worker"]',
            "worker": """
                host = "edge"
                entrypoint = "test_case:worker"
                ports = ["in"]
                env = {PLACE = "${run.dir}"}
                ready = [{tcp = "${port.in}"}, {file = "listens"}, {log = "^in /"},
                         {command = ["test", "-e", "listens"]}]
                [[worker.probes]]
                log = '^in (?P<folder>\\\\S+)'
                step = "began"
                meta = {folder = "${folder}"}
            """,
        },
        CODE,
        tables=EDGE.format(python=bare_python)
        + """
    [[circuits]]
    name = "request"
    route = ["client:asked", "worker:taken", "client:answered"]
    keys = "1"
    within = "5s"

    [[faults]]
    at = "worker:taken"
    do = "delay"
    for = "20ms"
    """,
    )
    outcome = workplace.run("group")
    assert outcome.exit_code == 0, outcome.stdout
    [circuit] = outcome.group["circuits"]
    assert circuit["max_ms"] >= 20
    log = Path(outcome.group["run_dir"], "units/worker/stdout.log").read_text()
    _, folder, python = log.split()
    assert Path(python) == bare_python
    assert not Path(folder).exists()  # the temporary one that the group's was sent to
    assert folder != str(workplace.folder / "group")
    assert outcome.unit("worker")["state"] == "stopped"


def test_http_stop_rules_leaks_and_faults_hold_on_another_host(workplace: Workplace) -> None:
    workplace.group(
        {
            "worker": """
                host = "edge"
                entrypoint = "test_case:serves"
                ports = ["in"]
                ready = {http = "http://127.0.0.1:${port.in}/", status = 200}
                stop_signal = "INT"
                stop_events = ["flushed"]
            """,
            "broken": """
                host = "edge"
                entrypoint = "test_case:breaks"
                unit_dependencies = ["worker"]
            """,
        },
        """
        import http.server, os, signal, subprocess, sys

        def serves():
            def end(number, frame):
                subprocess.Popen(["sleep", "1000"], start_new_session=True)
                testrium.unit().probe("flushed", signal=number)
                sys.exit(0)

            signal.signal(signal.SIGINT, end)
            place = "", int(os.environ["TESTRIUM_PORT_IN"])
            http.server.HTTPServer(place, http.server.SimpleHTTPRequestHandler).serve_forever()

        def breaks():
            testrium.unit().probe("about-to")
        """,
        tables=EDGE.format(python=sys.executable)
        + """
    [[faults]]
    at = "broken:about-to"
    do = "exit"
    """,
    )
    outcome = workplace.run("group")
    assert outcome.codes == ["crash broken", "leak worker"], outcome.stdout
    assert outcome.unit("worker")["state"] == "stopped"


def test_files_that_checks_look_at_come_back(workplace: Workplace) -> None:
    workplace.group(
        {
            "worker": """
                host = "edge"
                command = ["sh", "works.sh", "${unit.dir}"]
            """,
            "twin": """
                enabled = false
                host = "other"
                command = ["sh", "-c", "echo > out/new-7.txt"]
            """,
        },
        tables=EDGE.format(python=sys.executable)
        + """
    [hosts.other]
    connect = ["sh", "-c"]
    [[checks]]
    name = "new"
    file = "./out/new-7.txt"
    contains = "^there$"
    [[checks]]
    name = "kept"
    json = "${run.dir}/units/worker/kept.json"
    equals = [1]
    [[checks]]
    name = "sent"
    file = "sent.txt"
    contains = "from home"
    """,
    )
    folder = workplace.folder / "group"
    (folder / "out").mkdir()
    work = "echo there > out/new-7.txt; echo x > unasked; echo '[1]' > $1/kept.json; rm gone"
    files = {"works.sh": work, "sent.txt": "from home", "gone": "", "out/new-7.txt": "older"}
    for name, text in files.items():
        (folder / name).write_text(text)
    outcome = workplace.run("group")
    assert (outcome.exit_code, outcome.codes) == (0, []), outcome.stdout
    assert not (folder / "unasked").exists()
    assert (folder / "gone").exists()
    unit = folder / "units/twin.toml"
    unit.write_text(unit.read_text().replace("false", "true"))
    outcome = workplace.run("group")
    assert outcome.codes[0] in ("infra edge", "infra other"), outcome.stdout
    assert "out/new-7.txt was written there and on another machine" in outcome.stdout


def test_broken_pipe_is_infra_at_the_host_and_leaves_nothing(workplace: Workplace) -> None:
    workplace.group(
        {
            "worker": 'host = "edge"\nentrypoint = "test_case:breaks_its_pipe"',
            "other": 'command = ["sleep", "1000"]',
        },
        CODE,
        tables=EDGE.format(python=sys.executable),
    )
    outcome = workplace.run("group")  # which sees that no process is left
    assert outcome.exit_code == 5, outcome.stdout
    assert outcome.codes == ["infra edge"]
    assert (
        "config.toml:5: hosts.edge: the pipe has broken" in outcome.group["findings"][0]["message"]
    )
    probes = Path(outcome.group["run_dir"], "units/worker/probes-1.jsonl").read_text()
    folder = Path(json.loads(probes)["meta"]["folder"]).parent
    end = time.monotonic() + 10
    while folder.exists():  # until the supervisor there is gone, too
        assert time.monotonic() < end
        time.sleep(0.02)


#: Stands in for `docker exec` and `kubectl exec`: the command gets an environment of its own, and
#: does not end with the client, which only closes its pipes.
EXEC = """\
#!{python}
import os, subprocess, sys, threading

expected = {before!r}
assert sys.argv[1:-1] == expected, sys.argv
print("Defaulted container to c out of: c, sidecar", file=sys.stderr, flush=True)
open("{name}.pid", "w").write(str(os.getpid()))
program = subprocess.Popen(
    ["env", "-i", "PATH=" + os.environ["PATH"], "{mark}=" + os.environ["{mark}"]]
    + ["INSIDE={name}", *sys.argv[-3:]],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
)

def passed(source, target):
    while data := os.read(source, 65536):
        while data:
            data = data[os.write(target, data):]

def sent():
    passed(0, program.stdin.fileno())
    program.stdin.close()

threading.Thread(target=sent, daemon=True).start()
passed(program.stdout.fileno(), 1)
code = program.wait()
print("command terminated with exit code", code, file=sys.stderr)
os._exit(code)
"""


def test_units_run_in_a_container_and_in_a_pod_until_the_client_dies(workplace: Workplace) -> None:
    clients = {
        "docker": ["exec", "-i", "c", "sh", "-c"],
        "kubectl": ["exec", "-i", "pod", "--", "sh", "-c"],
    }
    hosts = ""
    for name, before in clients.items():
        text = EXEC.format(python=sys.executable, before=before, name=name, mark=MARK)
        workplace.write(client := workplace.folder / "group" / name, text)
        client.chmod(0o755)
        connect = json.dumps([f"./{name}", *before])
        hosts += f"[hosts.{name}]\nconnect = {connect}\npython = '{sys.executable}'\n"
    workplace.group(
        {
            "inside": 'host = "docker"\nentrypoint = "test_case:tells"',
            "other": 'host = "kubectl"\nentrypoint = "test_case:tells"',
            "ends": """
                host = "kubectl"
                command = ["sleep", "1000"]
                unit_dependencies = ["inside", "other"]
            """,
            "killer": 'entrypoint = "test_case:kills"\nunit_dependencies = ["ends"]',
        },
        f"""
        import os, signal

        def tells():
            testrium.unit().probe("told", inside=os.environ["INSIDE"])

        def kills():
            with open({str(workplace.folder / "group" / "kubectl.pid")!r}) as file:
                os.kill(int(file.read()), signal.SIGKILL)
            signal.pause()
        """,
        configs="timeout = 10\ninherit-env = true",
        tables=hosts,
    )
    outcome = workplace.run("group")  # which sees that no process is left
    assert outcome.exit_code == 5, outcome.stdout
    assert outcome.codes == ["infra kubectl"]
    message = outcome.group["findings"][0]["message"]
    assert "hosts.kubectl: the pipe has broken: " in message
    assert message.endswith("Defaulted container to c out of: c, sidecar")
    probes = Path(outcome.group["run_dir"], "units")
    inside = [
        json.loads((probes / unit / "probes-1.jsonl").read_text())["meta"]["inside"]
        for unit in ("inside", "other")
    ]
    assert inside == ["docker", "kubectl"]


def test_host_that_cannot_be_reached_is_infra_and_says_why(workplace: Workplace) -> None:
    other = workplace.folder / "other"
    workplace.write(other / "testrium.py", "__version__ = '0.1.0'")
    cases = {
        "a": ('["no-such-ssh"]', "python3", "connect: 'no-such-ssh' cannot be started: No such"),
        "b": ('["sh", "-c", "echo no route >&2; exit 255"]', "python3", "code 255: no route"),
        "c": ('["sh", "-c"]', "/no/python", "(is python = '/no/python' there?)"),
        "d": (
            f'["env", "PYTHONPATH={other}", "sh", "-c"]',
            sys.executable,
            "has Testrium 0.1.0 there, this is ",
        ),
    }
    old = workplace.folder / "old-python"
    said = {"testrium": None, "python": [3, 9, 2], "executable": "python3.9"}
    workplace.write(old, f"#!/bin/sh\necho 'TESTRIUM-AGENT {json.dumps(said)}'; exec cat")
    old.chmod(0o755)
    cases["e"] = ('["sh", "-c"]', str(old), "is Python 3.9.2 there: name one from 3.11")
    for name, (connect, python, _) in cases.items():
        workplace.group(
            {"worker": 'host = "edge"\ncommand = ["true"]'},
            tables=f"[hosts.edge]\nconnect = {connect}\npython = '{python}'",
            name=name,
        )
    workplace.group(
        {"worker": 'host = "edge"\ncommand = ["true"]'},
        configs='requires = ["host:edge"]',
        tables='[hosts.edge]\nconnect = ["no-such-ssh"]',
        name="optional",
    )
    outcome = workplace.run()
    assert outcome.exit_code == 5
    *groups, skipped = outcome.report["groups"]
    assert (skipped["id"], skipped["verdict"]) == ("optional", "skip")
    assert skipped["reason"].startswith("requires host:edge: connect: 'no-such-ssh' cannot be")
    for group in groups:
        root, *_ = group["findings"]
        told = cases[group["id"]][2]
        assert (root["code"], root["where"]) == ("infra", "edge")
        assert f"{group['id']}/config.toml:4: hosts.edge: " in root["message"]
        assert told in root["message"]


def test_use_stacks_and_processes_of_a_hanging_unit_come_from_its_host(
    workplace: Workplace,
) -> None:
    workplace.group(
        {
            "worker": """
                host = "edge"
                entrypoint = "test_case:hangs"
                max_rss = "1MB"
                timeout = "2s"
                grace = "100ms"
            """,
        },
        """
        import subprocess, time

        def hangs():
            testrium.unit().probe("began")
            subprocess.Popen(["sleep", "1000"])
            time.sleep(1000)
        """,
        tables=EDGE.format(python=sys.executable),
    )
    outcome = workplace.run("group")
    assert outcome.codes == ["hang worker", "limit worker"], outcome.stdout
    assert "in hangs: time.sleep(1000)" in outcome.unit("worker")["threads"][0]
    assert outcome.unit("worker")["peak_children"] == 1
    told = Path(outcome.group["run_dir"], "diagnostics.txt").read_text()
    assert "sleep 1000" in told.partition("processes, at")[2].partition("threads (")[0]


CODE_OF_NETWORKS = """
    import json, os, socket, time, urllib.request

    def place(name):
        return os.environ["TESTRIUM_ADDRESS_BROKER"], int(os.environ[name])

    def broker():
        with socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_IN"]))) as server:
            while True:
                wire, _ = server.accept()
                with wire, wire.makefile("rwb", buffering=0) as lines:
                    for line in lines:
                        lines.write(b"PONG\\r\\n" if line.startswith(b"PING") else b"")

    def shop():
        with socket.create_connection(place("TESTRIUM_PORT_BROKER_IN")) as wire:
            wire.sendall(b"PUB orders 2\\r\\nk1\\r\\nPING\\r\\n")
            wire.shutdown(socket.SHUT_WR)
            assert wire.recv(99) == b"PONG\\r\\n"
        now = str(time.time_ns())
        span = {"traceId": "5" * 32, "spanId": "e" * 16, "name": "told",
                "startTimeUnixNano": now, "endTimeUnixNano": now}
        resource = [{"key": name, "value": {"stringValue": value}} for name, value in
                    (one.split("=") for one in os.environ["OTEL_RESOURCE_ATTRIBUTES"].split(","))]
        body = {"resourceSpans": [{"resource": {"attributes": resource},
                                   "scopeSpans": [{"spans": [span]}]}]}
        url = os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] + "/v1/traces"
        asked = urllib.request.Request(url, json.dumps(body).encode(),
                                       {"Content-Type": "application/json"})
        urllib.request.urlopen(asked).close()
"""

#: Networks of their own, in which there is nothing but 127.0.0.1, and a clock of its own.
ALONE = 'ip link set lo up && exec sh -c "$1"'


def may_be_alone(*options: str) -> bool:
    """Whether this process may make such a network."""
    command = ["unshare", "--net", *options, "sh", "-c", ALONE, "sh", "true"]
    with contextlib.suppress(OSError):
        return not subprocess.run(command, capture_output=True).returncode
    return False


@pytest.mark.skipif(
    not may_be_alone("--time", "--fork"), reason="no right to make a network and a clock"
)
def test_spans_links_and_taps_come_over_the_pipe_of_hosts_without_another_way(
    workplace: Workplace,
) -> None:
    clock = ["--time", "--monotonic", "3600", "--fork"]
    shell = ["sh", "-c", ALONE, "sh"]
    workplace.group(
        {
            "broker": """
                host = "far"
                entrypoint = "test_case:broker"
                quiet = true
                ports = ["in"]
                ready = {tcp = "${port.in}"}
            """,
            "shop": """
                host = "edge"
                entrypoint = "test_case:shop"
                unit_dependencies = ["broker"]
            """,
        },
        CODE_OF_NETWORKS,
        tables=f"""
    [hosts.far]
    connect = {json.dumps(["unshare", "--net", *shell])}
    python = '{sys.executable}'
    [hosts.edge]
    connect = {json.dumps(["unshare", "--net", *clock, *shell])}
    python = '{sys.executable}'
    [otlp]
    key = "k1"
    [[otlp.spans]]
    span = "told"
    at = "shop:told"
    [[taps]]
    link = "broker.in"
    protocol = "nats"
    [[taps.probes]]
    match = {{ command = "PUB" }}
    at = "${{client}}:queued"
    key = "${{payload}}"
    [[faults]]
    link = "broker.in"
    do = "latency"
    value = "30ms"
    [[circuits]]
    name = "order"
    route = ["shop:queued", "shop:told"]
    keys = "1"
    within = "9s"
    """,
    )
    outcome = workplace.run("group")
    assert (outcome.exit_code, outcome.codes) == (0, []), outcome.stdout
    [circuit] = outcome.group["circuits"]
    assert 60 <= circuit["max_ms"] < 9000  # there and back through the link, on one clock
