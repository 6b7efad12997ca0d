"""Real task queues finish their job when they are stopped, as they do in a container."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace

#: The job is at work when the worker is told to stop: the client needs no more than its begin.
JOB = """
import os, signal, sys, time

def work(key):
    me = testrium.unit()
    me.receive("taken", key=key)
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        time.sleep(0.01)
    me.probe("stored", key=key)
"""
RQ = """
def client():
    from redis import Redis
    from rq import Queue
    me = testrium.unit()
    me.send("sent", key="k1")
    Queue("q", connection=Redis.from_url(os.environ["BROKER"])).enqueue("test_case.work", "k1")
    me.wait_for("worker:taken", timeout=20)
"""
CELERY = """
from celery import Celery
app = Celery("jobs", broker=os.environ.get("BROKER"))
job = app.task(work, name="work")

def client():
    me = testrium.unit()
    me.send("sent", key="k1")
    job.delay("k1")
    me.wait_for("worker:taken", timeout=20)
"""
DRAMATIQ = """
import dramatiq
from dramatiq.brokers.redis import RedisBroker
dramatiq.set_broker(RedisBroker(url=os.environ["BROKER"]))
job = dramatiq.actor(work)

def client():
    me = testrium.unit()
    me.send("sent", key="k1")
    job.send("k1")
    me.wait_for("worker:taken", timeout=20)
"""
POOL = """
from multiprocessing import get_context

def worker():
    def finish(*_):
        pool.close()
        pool.join()
        sys.exit()

    with get_context("fork").Pool(2) as pool:
        signal.signal(signal.SIGTERM, finish)
        pool.apply_async(work, ["k1"])
        while True:
            signal.pause()

def client():
    me = testrium.unit()
    me.send("sent", key="k1")
    me.wait_for("worker:taken", timeout=20)
"""
CIRCUIT = """
    [[circuits]]
    name = "jobs"
    route = ["client:sent", "worker:taken", "worker:stored"]
    keys = "1"
    [verify]
    linger = "0ms"
"""
BROKER = 'env = {BROKER = "redis://127.0.0.1:${unit.redis.port.db}/0"}\n'
REDIS = """
    command = ["redis-server", "--port", "${port.db}", "--bind", "127.0.0.1", "--save", "",
               "--dir", "${unit.dir}"]
    ports = ["db"]
    ready = {log = "Ready to accept connections"}
"""


def script(name: str) -> str:
    """A program beside the interpreter; skips where it or what it needs is missing."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None or importlib.util.find_spec("redis") is None:
        pytest.skip(f"{name} is not installed")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    return found


def queue_group(workplace: Workplace, code: str, command: list[str], log: str, keys: str) -> None:
    words = ", ".join(f'"{word}"' for word in command)
    worker = f"""
        command = [{words}]
        ready = {{log = "{log}"}}
        unit_dependencies = ["redis"]
        grace = 20
        ready_timeout = 60
        quiet = false
        {keys}
    """
    client = 'entrypoint = "test_case:client"\nunit_dependencies = ["worker"]\n'
    workplace.group(
        {"redis": REDIS, "worker": worker + BROKER, "client": client + BROKER},
        JOB + code,
        configs="timeout = 100",
        tables=CIRCUIT,
    )


@pytest.mark.parametrize(
    ("name", "code", "arguments", "log"),
    [
        ("rq", RQ, ["worker", "--url", "${env.URL}", "q"], "Listening on"),
        (
            "celery",
            CELERY,
            ["-A", "test_case", "worker", "-P", "prefork", "-c", "1", "-l", "INFO"],
            "ready[.]",
        ),
        ("dramatiq", DRAMATIQ, ["test_case", "-p", "1", "-t", "1"], "Worker process is ready"),
    ],
)
def test_a_task_queue_finishes_its_job_in_a_warm_shutdown(
    workplace: Workplace, name: str, code: str, arguments: list[str], log: str
) -> None:
    url = "redis://127.0.0.1:${unit.redis.port.db}/0"
    command = [script(name), *(url if word == "${env.URL}" else word for word in arguments)]
    queue_group(workplace, code, command, log, "")
    outcome = workplace.run()
    assert outcome.codes == []
    assert outcome.exit_code == 0
    assert outcome.unit("worker")["state"] == "stopped"


@pytest.mark.parametrize("to", ["process", "session"])
def test_a_pool_finishes_its_job_unless_its_children_are_told_too(
    workplace: Workplace, to: str
) -> None:
    worker = f"""
        entrypoint = "test_case:worker"
        grace = {20 if to == "process" else 1}
        stop_to = "{to}"
    """
    client = 'entrypoint = "test_case:client"\nunit_dependencies = ["worker"]\n'
    workplace.group({"worker": worker, "client": client}, JOB + POOL, tables=CIRCUIT)
    outcome = workplace.run()
    if to == "process":
        assert outcome.codes == []
    else:
        assert "lost worker:stored" in outcome.codes


#: RabbitMQ without its wrapper, which would become another user; all of its files are the unit's.
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
BROKER_KEYS = f"""
    command = ["{RABBITMQ}"]
    ports = ["amqp", "dist", "epmd"]
    ready = {{tcp = "${{port.amqp}}"}}
    ready_timeout = 100
    grace = 60
    [rabbit.env]
    HOME = "${{unit.dir}}"
    RABBITMQ_NODENAME = "t@localhost"
    RABBITMQ_NODE_IP_ADDRESS = "127.0.0.1"
    RABBITMQ_NODE_PORT = "${{port.amqp}}"
    RABBITMQ_DIST_PORT = "${{port.dist}}"
    ERL_EPMD_PORT = "${{port.epmd}}"
    RABBITMQ_MNESIA_BASE = "${{unit.dir}}/mnesia"
    RABBITMQ_LOG_BASE = "${{unit.dir}}/log"
    RABBITMQ_ENABLED_PLUGINS_FILE = "${{unit.dir}}/plugins"
    RABBITMQ_PID_FILE = "${{unit.dir}}/pid"
"""


@pytest.mark.soak
@pytest.mark.skipif(not RABBITMQ.is_file(), reason="rabbitmq-server is not installed")
@pytest.mark.parametrize(("keys", "codes"), [('may_leave = ["epmd"]', []), ("", ["leak rabbit"])])
def test_rabbitmq_may_leave_the_daemon_that_it_starts(
    workplace: Workplace, keys: str, codes: list[str]
) -> None:
    code = """
        import os, socket
        def client():
            port = int(os.environ["TESTRIUM_PORT_RABBIT_AMQP"])
            with socket.create_connection(("127.0.0.1", port)) as peer:
                peer.sendall(b"AMQP" + bytes((0, 0, 9, 1)))
                assert peer.recv(1) == b"\\x01"
            testrium.unit().probe("greeted")
    """
    client = 'entrypoint = "test_case:client"\nevents = ["greeted"]\n'
    client += 'unit_dependencies = ["rabbit"]\n'
    workplace.group(
        {"rabbit": f"{keys}{BROKER_KEYS}", "client": client}, code, configs="timeout = 200"
    )
    assert workplace.run(limit_s=300).codes == codes


@pytest.mark.skipif(shutil.which("epmd") is None, reason="Erlang is not installed")
@pytest.mark.parametrize(("keys", "codes"), [('may_leave = ["epmd"]', []), ("", ["leak node"])])
def test_a_node_of_erlang_may_leave_its_daemon(
    workplace: Workplace, keys: str, codes: list[str]
) -> None:
    node = f"""
        command = ["sh", "-c", "epmd -daemon -port $TESTRIUM_PORT_EPMD; exec sleep 100"]
        ports = ["epmd"]
        ready = {{tcp = "${{port.epmd}}"}}
        stop = "runner"
        {keys}
    """
    client = 'command = ["true"]\nunit_dependencies = ["node"]'
    workplace.group({"node": node, "client": client})
    assert workplace.run().codes == codes
