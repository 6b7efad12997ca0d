"""What a tap costs those whose traffic it reads, against the same proxy without one.

    python benchmarks/taps.py [--short]

A client sends commands to redis-server, 5 000 a second, through a proxy that is only a proxy and
through one that is tapped, in turns. The aim: round trips take at most 15 % longer.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from testrium.record.listening import awaiting_connection
from testrium.run.faults.links.copies import CONTROL

SHORT = "--short" in sys.argv
RATE = 5_000
BATCH = 5
ROUNDS = 2 if SHORT else 100  # short turns: what else the machine does meets both alike
ROUND_S = 0.2
LINE_LIMIT = 1 << 20

SERVE = "from testrium.run.faults.links.{0} import serve; serve()"
PROBES = [
    {
        "match": {"command": "RPUSH", "key": "orders"},
        "on": "request",
        "unit": "shop",
        "step": "queued",
        "type": "Send",
        "key": "${args.1}",
        "meta": {},
    }
]


class Program:
    """A process of a run, and the lines to it."""

    def __init__(self, module: str, folder: Path) -> None:
        self._module = module
        self._folder = folder

    async def open(self) -> None:
        path = self._folder / self._module
        async with awaiting_connection(path, LINE_LIMIT) as (address, connected):
            env = {**os.environ, CONTROL: address}
            program = [sys.executable, "-c", SERVE.format(self._module)]
            self.process = subprocess.Popen(program, env=env)  # noqa: ASYNC220 - once
            self._reader, self._writer = await connected
        self._begun_s = self._used_s()

    async def ask(self, **message: Any) -> dict[str, Any]:
        import json

        self._writer.write(json.dumps({"id": 1, **message}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._reader.readline())
        return answer

    def cpu_s(self) -> float:
        """CPU that it has used since it connected."""
        return self._used_s() - self._begun_s

    def _used_s(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def drive(wire: socket.socket, count: int) -> list[float]:
    """Send so many commands at the rate; the time of each round trip (us)."""
    order = b"*3\r\n$5\r\nRPUSH\r\n$6\r\norders\r\n$8\r\n%08d\r\n"
    trips = []
    due_s = time.perf_counter()
    for first in range(0, count, BATCH):
        batch = b"".join(order % number for number in range(first, first + BATCH))
        while (left_s := due_s - time.perf_counter()) > 0:
            time.sleep(left_s)
        due_s += BATCH / RATE
        begun_s = time.perf_counter()
        wire.sendall(batch)
        lines = 0
        while lines < BATCH:
            lines += wire.recv(1 << 16).count(b"\n")
        trips.append((time.perf_counter() - begun_s) * 1e6)
    return trips


async def measure(folder: Path) -> None:
    server_port = free_port()
    command = ["redis-server", "--port", str(server_port), "--save", "", "--daemonize", "no"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - once
    programs: list[Program] = []
    wires: dict[str, socket.socket] = {}
    links: dict[str, Program] = {}
    for kind in ("bare", "tapped"):
        place = folder / kind
        place.mkdir()
        port = free_port()
        link = links[kind] = Program("process", place)
        programs.append(link)
        await link.open()
        await link.ask(op="open", links={"redis.tcp": [port, server_port, ""]})
        if kind == "tapped":
            taps = Program("tapping", place)
            programs.append(taps)
            await taps.open()
            told = {
                "link": "redis.tcp",
                "protocol": "redis",
                "plugged": [],
                "probes": PROBES,
                "file": str(place / "probes.jsonl"),
                "messages": "",
            }
            opened = await taps.ask(op="open", path=str(place / "copies"), taps=[told])
            await link.ask(op="tap", address=opened["address"], links={"redis.tcp": [0, False]})
        wires[kind] = socket.create_connection(("127.0.0.1", port))
    turns: dict[str, list[list[float]]] = {kind: [] for kind in wires}
    try:
        for _ in range(ROUNDS):
            for kind, wire in wires.items():
                count = int(RATE * ROUND_S)
                turns[kind].append(await asyncio.to_thread(drive, wire, count))
        report(turns, {kind: link.cpu_s() for kind, link in links.items()}, taps.cpu_s())
    finally:
        for wire in wires.values():
            wire.close()
        for program in programs:
            program.close()
        server.kill()
        server.wait()


def report(turns: dict[str, list[list[float]]], cpu_s: dict[str, float], reading_s: float) -> None:
    messages = RATE * ROUND_S * ROUNDS
    for kind, each in turns.items():
        times = [trip for turn in each for trip in turn]
        middle, last = statistics.median(times), statistics.quantiles(times, n=100)[98]
        mean = statistics.fmean(times)
        print(
            f"{kind:<8} round trip {middle:6.0f} us median, {mean:6.0f} us mean,"
            f" {last:6.0f} us p99;"
            f" {1e6 * cpu_s[kind] / messages:5.1f} us of CPU per message in the proxy"
        )
    longer = ", ".join(f"{name} {100 * (ratio - 1):.0f} %" for name, ratio in ratios(turns).items())
    print(
        f"a tap makes round trips longer: {longer};"
        f" reading takes {1e6 * reading_s / messages:.1f} us of CPU per message elsewhere"
    )


def ratios(turns: dict[str, list[list[float]]]) -> dict[str, float]:
    """How long round trips take with a tap: of all, and of turns beside each other.

    What else the machine does makes some turns several times as long: of neighbours, which it
    meets alike, the median says what the tap does to a mean.
    """
    bare, tapped = turns["bare"], turns["tapped"]
    found = {
        name: of([trip for turn in tapped for trip in turn])
        / of([trip for turn in bare for trip in turn])
        for name, of in (("median", statistics.median), ("mean", statistics.fmean))
    }
    pairs = zip(bare, tapped, strict=True)
    found["mean of neighbouring turns"] = statistics.median(
        statistics.fmean(with_tap) / statistics.fmean(without) for without, with_tap in pairs
    )
    return found


if shutil.which("redis-server") is None:
    print("skipped: redis-server is not installed")
else:
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(measure(Path(temporary)))
