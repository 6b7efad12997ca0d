"""Taps of whole groups, through the command line, with servers that know nothing of Testrium."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

REDIS = """
command = ["redis-server", "--port", "${port.tcp}", "--save", ""]
ports = ["tcp"]
stop = "runner"
ready = {tcp = "${port.tcp}"}
"""

SHOP = """
entrypoint = "test_case:shop"
unit_dependencies = ["redis"]
ready = {ended = true}
"""

#: Clients without a library: its import would take longer than all the rest.
CLIENTS = """
import os, socket

def connect():
    port = int(os.environ["TESTRIUM_PORT_REDIS_TCP"])
    return socket.create_connection(("127.0.0.1", port), timeout=10)

def ask(wire, *words):
    parts = [f"*{len(words)}"] + [part for word in words for part in (f"${len(word)}", word)]
    wire.sendall("\\r\\n".join([*parts, ""]).encode())
    return wire.recv(4096)
"""

RULES = """
[[taps]]
link = "redis.tcp"
protocol = "redis"

[[taps.probes]]
match = { command = "RPUSH", key = "orders" }
at = "${client}:queued"
type = "Send"
key = "${args.1}"
meta = { queue = "${key}" }

[[taps.probes]]
match = { command = "LPOP", key = "orders" }
on = "response"
at = "worker:taken"
type = "Receive"
key = "${reply}"

[[circuits]]
name = "orders"
keys = 4
route = ["shop:queued", "worker:taken"]
fifo = true
"""

needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server")


@needs_redis
@pytest.mark.parametrize(
    ("pushed", "expected"),
    [
        ("1 2 3 4", []),
        ("1 2 2 3 4", ["duplicate shop:queued 2", "duplicate worker:taken 2"]),
    ],
)
def test_messages_of_a_queue_are_events_of_those_that_send_them(
    workplace: Workplace, pushed: str, expected: list[str]
) -> None:
    workplace.group(
        {
            "redis": REDIS,
            "shop": SHOP,
            "worker": 'entrypoint = "test_case:worker"\nunit_dependencies = ["shop"]',
        },
        CLIENTS
        + f"""
def shop():
    with connect() as wire:
        for number in {pushed.split()!r}:
            ask(wire, "RPUSH", "orders", number)

def worker():
    with connect() as wire:
        while ask(wire, "LPOP", "orders") != b"$-1\\r\\n":
            pass
""",
        tables=RULES + "\n[verify]\nlinger = 0",
    )
    outcome = workplace.run()
    found = [f"{f['code']} {f['where']} {f['key']}" for f in outcome.group["findings"]]
    assert found == expected


def test_what_cannot_be_read_passes_and_is_a_gap_of_the_link(workplace: Workplace) -> None:
    workplace.group(
        {
            "redis": 'entrypoint = "test_case:serve"\nports = ["tcp"]\nready_event = "up"',
            "shop": 'entrypoint = "test_case:shop"\nunit_dependencies = ["redis"]',
            "worker": 'entrypoint = "test_case:worker"\nquiet = true',
        },
        CLIENTS
        + """
def worker():
    pass

def serve():
    with socket.create_server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_TCP"]))) as server:
        testrium.unit().probe("up")
        with server.accept()[0] as wire:
            while data := wire.recv(4096):
                wire.sendall(data)

def shop():
    with connect() as wire:
        for words in (b"\\x16\\x03\\x01 ", bytes(range(256)), b"end"):
            wire.sendall(words)
            got = b""
            while len(got) < len(words):
                got += wire.recv(4096)
            assert got == words
""",
        tables=RULES + "\n[verify]\nlinger = 0",
    )
    outcome = workplace.run()
    assert outcome.exit_code == 4
    (gap,) = (each for each in outcome.group["findings"] if each["code"] == "gap")
    assert gap["where"] == "redis.tcp"
    assert gap["message"] == (
        "redis.tcp cannot be read as redis from byte 0 of what shop sent to redis: encrypted (TLS)"
    )


@needs_redis
def test_messages_are_kept_without_rules_and_learned_from(workplace: Workplace) -> None:
    workplace.group(
        {
            "redis": REDIS,
            "shop": SHOP,
            "worker": 'entrypoint = "test_case:worker"\nunit_dependencies = ["shop"]',
        },
        CLIENTS
        + """
def shop():
    with connect() as wire:
        for number in range(3):
            ask(wire, "RPUSH", "orders", f"o{number}")

def worker():
    with connect() as wire:
        for _ in range(3):
            ask(wire, "LPOP", "orders")
""",
    )
    outcome = workplace.run("--tap", "redis.tcp")
    assert outcome.exit_code == 0
    learned = workplace.finish(workplace.start("learn"))
    assert 'match = { command = "RPUSH", key = "orders" }' in learned.stdout
    assert '"shop:rpush-orders",' in learned.stdout
    assert workplace.run("--tap", "redis.tpc").exit_code == 3
