"""Taps between real servers and real clients: a message that is wrong is named by its key."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

POSTGRES = next(Path("/usr/lib/postgresql").glob("*/bin/postgres"), Path("postgres")).parent


class Server(NamedTuple):
    """A server and its clients.

    Args:
        needs: a program and modules.
        command: starts it.
        code: `shop(keys)` and `worker(count)`, which call `ready()` before they wait for messages.
        sent, got: what tells a message that the shop has sent, and that the worker has got.
    """

    protocol: str
    needs: tuple[str, ...]
    command: str
    code: str
    sent: str
    got: str


SERVERS = {
    "redis": Server(
        "redis",
        ("redis-server", "redis"),
        'command = ["redis-server", "--port", "${port.tcp}", "--save", ""]',
        """
import redis

def shop(keys):
    client = redis.Redis(port=PORT)
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.xadd("orders", {"id": key})
    pipe.execute()

def worker(count):
    client = redis.Redis(port=PORT)
    client.xgroup_create("orders", "workers", id="0", mkstream=True)
    ready()
    while count > 0:
        for _, entries in client.xreadgroup("workers", "w", {"orders": ">"}, 100, 2000):
            count -= len(entries)
""",
        'match = {command = "XADD", stream = "orders"}\nkey = "${fields.id}"',
        'match = {command = "XREADGROUP"}\non = "response"\nkey = "${fields.id}"',
    ),
    "nats": Server(
        "nats",
        ("nats-server", "nats"),
        'command = ["nats-server", "-a", "127.0.0.1", "-p", "${port.tcp}"]\nexit = [0, 1]',
        """
import asyncio, nats

def shop(keys):
    async def send():
        client = await nats.connect(f"nats://127.0.0.1:{PORT}")
        for key in keys:
            await client.publish("orders.new", key.encode(), headers={"Kind": "order"})
        await client.drain()
    asyncio.run(send())

def worker(count):
    async def get():
        client = await nats.connect(f"nats://127.0.0.1:{PORT}")
        subscription = await client.subscribe("orders.*")
        await client.flush()
        ready()
        for _ in range(count):
            await subscription.next_msg(10)
        await client.close()
    asyncio.run(get())
""",
        'match = {command = "HPUB", subject = "^orders[.]"}\nkey = "${payload}"',
        'match = {command = "HMSG", "headers.kind" = "order"}\nkey = "${payload}"',
    ),
    "mqtt": Server(
        "mqtt",
        ("mosquitto", "paho.mqtt"),
        'command = ["mosquitto", "-p", "${port.tcp}"]',
        """
import queue
import paho.mqtt.client as mqtt

def connected():
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", PORT)
    client.loop_start()
    return client

def shop(keys):
    client = connected()
    for key in keys:
        client.publish("orders/new", key, qos=1).wait_for_publish(10)
    client.disconnect()

def worker(count):
    client, got, there = connected(), queue.Queue(), queue.Queue()
    client.on_subscribe = lambda *_: there.put(None)
    client.on_message = lambda *args: got.put(args[2])
    client.subscribe("orders/#", qos=1)
    there.get(timeout=10)
    ready()
    for _ in range(count):
        got.get(timeout=10)
    client.disconnect()
""",
        'match = {type = "publish", topic = "orders/.*"}\nkey = "${payload}"',
        'match = {type = "deliver", qos = 1}\nkey = "${payload}"',
    ),
    "postgresql": Server(
        "postgresql",
        (str(POSTGRES / "postgres"), "pg8000"),
        f'command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",'
        f' "{POSTGRES}/postgres", "-D", "${{env.PGDATA}}", "-p", "${{port.tcp}}", "-k", "", "-F"]',
        """
import pg8000.native

def connected():
    return pg8000.native.Connection("me", host="127.0.0.1", port=PORT, database="postgres")

def shop(keys):
    client = connected()
    for key in keys:
        client.run("insert into orders (id) values (:id)", id=key)
    client.close()

def worker(count):
    client = connected()
    client.run("create table orders (number serial primary key, id text)")
    ready()
    while count > 0:
        rows = client.run(
            "delete from orders where number = (select min(number) from orders) returning id"
        )
        count -= len(rows)
    client.close()
""",
        'match = {statement = "^insert into orders"}\nkey = "${params.0}"',
        'match = {statement = "^delete from orders", rows = 1}\non = "response"\n'
        'key = "${rows.0.id}"',
    ),
    "amqp": Server(
        "amqp",
        ("rabbitmq-server", "pika"),
        'command = ["/usr/lib/rabbitmq/bin/rabbitmq-server"]\nstop = "runner"\ntimeout = 280\n'
        'may_leave = ["epmd"]\nready_timeout = 60\nexit = [0, 143]\n'
        'env = {RABBITMQ_NODE_PORT = "${port.tcp}", RABBITMQ_DIST_PORT = "${port.dist}",'
        ' RABBITMQ_NODENAME = "tapped@localhost", RABBITMQ_MNESIA_BASE = "${unit.dir}",'
        ' RABBITMQ_LOG_BASE = "${unit.dir}", ERL_EPMD_PORT = "${port.epmd}",'
        ' HOME = "${unit.dir}", RABBITMQ_ENABLED_PLUGINS_FILE = "${unit.dir}/plugins"}',
        """
import pika

def connected():
    return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", PORT))

def shop(keys):
    with connected() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        for key in keys:
            kind = pika.BasicProperties(headers={"id": key})
            channel.basic_publish("", "orders", b"{}", kind)

def worker(count):
    with connected() as connection:
        channel = connection.channel()
        channel.queue_declare("orders")
        ready()
        for method, _, _ in channel.consume("orders", inactivity_timeout=10):
            channel.basic_ack(method.delivery_tag)
            count -= 1
            if not count:
                break
        channel.cancel()
""",
        'match = {method = "publish", routing_key = "orders"}\nkey = "${headers.id}"',
        'match = {method = "ack", queue = "orders"}\nkey = "${headers.id}"',
    ),
}

#: What the shop sends in place of 1 to 5, and what is found.
FAULTS = {
    "healthy": ("12345", []),
    "dropped": ("1245", ["lost shop:sent 3", "lost worker:got 3"]),
    "doubled": ("123345", ["duplicate shop:sent 3", "duplicate worker:got 3"]),
    "swapped": ("12435", ["reorder shop:sent 4"]),
}

#: Each takes a second or two; all others are long forms.
SHORT = (("nats", "swapped"), ("mqtt", "doubled"))

CASES = [
    pytest.param(name, fault, marks=() if (name, fault) in SHORT else pytest.mark.soak)
    for name in SERVERS
    for fault in FAULTS
]


def group_of(server: Server, sends: str, workplace: Workplace, keys: int = 5) -> None:
    """A shop that sends these keys, and a worker that gets them, through the server."""
    ports = '["tcp", "dist", "epmd"]' if server.protocol == "amqp" else '["tcp"]'
    workplace.group(
        {
            "server": f'{server.command}\nports = {ports}\nready = {{tcp = "${{port.tcp}}"}}\n'
            + ('stop = "runner"' if "stop" not in server.command else ""),
            "worker": 'entrypoint = "test_case:work"\nunit_dependencies = ["server"]\n'
            'ready_event = "ready"\nstop = "self"\ntimeout = 280',
            "shop": 'entrypoint = "test_case:sell"\nunit_dependencies = ["worker"]\ntimeout = 280',
        },
        f"""
import os
PORT = int(os.environ.get("TESTRIUM_PORT_SERVER_TCP", 0))

def ready():
    testrium.unit().probe("ready")
{server.code}
def sell():
    for number in range({keys}):
        testrium.unit().probe("made", key=str(number + 1))
    shop({sends})

def work():
    worker(len({sends}))
""",
        configs="timeout = 290",
        tables=f"""
[verify]
linger = 0

[[circuits]]
name = "orders"
keys = {keys}
route = ["shop:made", "shop:sent", "worker:got"]
fifo = true

[[taps]]
link = "server.tcp"
protocol = "{server.protocol}"

[[taps.probes]]
at = "${{client}}:sent"
type = "Send"
{server.sent}

[[taps.probes]]
at = "${{client}}:got"
type = "Receive"
{server.got}
""",
    )


def prepare(server: Server, workplace: Workplace, request: pytest.FixtureRequest) -> None:
    """Skip what is not installed; make the files that a server begins with."""
    program, module = server.needs
    if shutil.which(program) is None or find_spec(module) is None:
        pytest.skip(f"{program} or {module} is not installed")
    if server.protocol == "postgresql":
        if os.geteuid() != 0:
            pytest.skip("another user makes the data folder")
        data = Path(tempfile.mkdtemp(prefix="testrium-postgres"))
        request.addfinalizer(partial(shutil.rmtree, data))
        shutil.chown(data, "postgres")
        made = [str(POSTGRES / "initdb"), "-U", "me", "-A", "trust", "-N", "-D", str(data)]
        subprocess.run(made, user="postgres", cwd="/", check=True, capture_output=True)
        workplace.env["PGDATA"] = str(data)


@pytest.mark.parametrize(("name", "fault"), CASES)
def test_a_wrong_message_is_named_by_its_key(
    name: str, fault: str, workplace: Workplace, request: pytest.FixtureRequest
) -> None:
    server = SERVERS[name]
    prepare(server, workplace, request)
    keys, expected = FAULTS[fault]
    group_of(server, repr(list(keys)), workplace)
    outcome = workplace.run(limit_s=120)
    found = [f"{each['code']} {each['where']} {each['key']}" for each in outcome.group["findings"]]
    assert found == expected


@pytest.mark.soak
@pytest.mark.timeout(310)
@pytest.mark.parametrize("name", SERVERS)
def test_ten_thousand_messages_pass(
    name: str, workplace: Workplace, request: pytest.FixtureRequest
) -> None:
    server = SERVERS[name]
    prepare(server, workplace, request)
    group_of(server, "[str(number + 1) for number in range(10_000)]", workplace, keys=10_000)
    outcome = workplace.run(limit_s=300)
    assert outcome.group["findings"] == []
