"""What probes cost: the unit that emits them, whoever waits for one, and the recorder.

    python benchmarks/probes.py [--short]

The aims: at most 10 us (median) and 100 us (p99) for a unit, and a wake-up within 1 ms.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from testrium.probe import environment as names
from testrium.record.reader import load_evidence
from testrium.record.recorder import Recorder
from testrium.record.waits import WaitServer

SHORT = "--short" in sys.argv
PROBES = 500 if SHORT else 50_000
WAITS = 10 if SHORT else 100

EMITTER = """
import json, sys, time
import testrium
me = testrium.unit()
costs = []
for number in range(int(sys.argv[1])):
    before_ns = time.perf_counter_ns()
    me.send("sent", key=f"k{number}")
    costs.append(time.perf_counter_ns() - before_ns)
costs.sort()
print(json.dumps([costs[len(costs) // 2] / 1e3, costs[len(costs) * 99 // 100] / 1e3]))
"""
OUTSIDE = """
import sys, timeit
import testrium
me, count = testrium.unit(), int(sys.argv[1])
print(min(timeit.repeat(lambda: me.send("sent", key="k"), number=count, repeat=3)) / count)
"""
WAITER = """
import json, sys, time
import testrium
me, count = testrium.unit(), int(sys.argv[1])
delays = []
for number in range(count):
    event = me.wait_for("emitter:ping", key=f"k{number}", timeout=60)
    delays.append(time.monotonic_ns() - event.t_ns)
    me.probe("pong", key=f"k{number}")
delays.sort()
print(json.dumps([delays[count // 2] / 1e3, delays[count * 98 // 100] / 1e3]))
"""
PINGER = """
import sys, time
import testrium
me = testrium.unit()
for number in range(int(sys.argv[1])):
    time.sleep(0.005)
    me.probe("ping", key=f"k{number}")
    me.wait_for("waiter:pong", key=f"k{number}", timeout=60)
"""


class Group:
    """A recorder and its socket, and units as processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.recorder = Recorder(folder / "Data.db", names.clock_domain())
        self.server = WaitServer(self.recorder, folder / "waits")

    async def run_unit(self, unit: str, code: str, *arguments: str) -> str:
        """Run it to its end; what it printed."""
        probes = self._folder / f"{unit}.jsonl"
        self.recorder.watch(unit, 1, 1, probes)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, *arguments),
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                names.UNIT: unit,
                names.PROBES: str(probes),
                names.SOCKET: self.server.address,
                names.DOMAIN: names.clock_domain(),
            },
        )
        output, _ = await process.communicate()
        return output.decode()


async def measure(folder: Path, count: int) -> None:
    group = Group(folder)
    async with group.recorder, group.server:
        median_us, p99_us = json.loads(await group.run_unit("unit", EMITTER, str(count)))
        print(f"a probe under the runner, median   {median_us:8.1f} us")
        print(f"                          p99      {p99_us:8.1f} us")
        await group.recorder.sync()
        output, _ = await asyncio.gather(
            group.run_unit("waiter", WAITER, str(WAITS)),
            group.run_unit("emitter", PINGER, str(WAITS)),
        )
        median_us, p99_us = json.loads(output)
        print(f"from a probe to its waiter, median {median_us:8.0f} us")
        print(f"                            p99    {p99_us:8.0f} us")
        with (folder / "burst.jsonl").open("w") as burst:
            for number in range(count):
                burst.write(f'{{"step":"s","key":"k{number}","t_ns":{number},"pid":1}}\n')
        group.recorder.watch("burst", 1, 1, folder / "burst.jsonl")
        begun = time.perf_counter()
        await group.recorder.sync()
        each_s = (time.perf_counter() - begun) / count
    print(f"storing an event                   {each_s * 1e6:8.1f} us")
    begun = time.perf_counter()
    events = len(load_evidence(folder / "Data.db").events)
    print(
        f"reading an event from the store    {(time.perf_counter() - begun) / events * 1e6:8.1f} us"
    )


if __name__ == "__main__":
    outside_s = float(subprocess.check_output([sys.executable, "-c", OUTSIDE, str(2 * PROBES)]))
    print(f"a probe outside a run              {outside_s * 1e9:8.0f} ns")
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(measure(Path(temporary), PROBES))
