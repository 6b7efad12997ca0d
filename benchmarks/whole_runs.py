"""What users notice: whole commands, what a probe costs a unit, how fast a waiter wakes.

    python benchmarks/whole_runs.py [--short]

Everything is measured from outside, through the command line, in a temporary folder. Commands are
run nine times; the median counts.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHORT = "--short" in sys.argv
ROUNDS = 1 if SHORT else 9
PROBES = 200 if SHORT else 20_000
WAKES = 10 if SHORT else 300

#: One unit that times every probe that it emits.
EMIT = f"""
import json, os, time
import testrium

PROBES = {PROBES}

def main():
    me, costs = testrium.unit(), []
    for number in range(PROBES):
        before = time.perf_counter_ns()
        me.send("sent", key=f"k{{number}}")
        costs.append(time.perf_counter_ns() - before)
    with open(os.environ["BENCHMARK_RESULT"], "w") as file:
        json.dump(costs, file)
"""

#: Two units that wake each other; the waiter compares its clock with the event's.
WAKE = f"""
import json, os, time
import testrium

ROUNDS = {WAKES}

def main():
    me, delays = testrium.unit(), []
    for number in range(ROUNDS):
        me.probe("ping", key=f"k{{number}}")
        event = me.wait_for("echo:pong", key=f"k{{number}}", timeout=10)
        delays.append(time.monotonic_ns() - event.t_ns)
    with open(os.environ["BENCHMARK_RESULT"], "w") as file:
        json.dump(delays, file)

def echo():
    me = testrium.unit()
    for number in range(ROUNDS):
        me.wait_for("main:ping", key=f"k{{number}}", timeout=10)
        me.probe("pong", key=f"k{{number}}")
"""

CHAIN = """
import testrium

def main():
    testrium.unit().probe("ready")
"""


def write_group(folder: Path, code: str, units: dict[str, str], config: str = "") -> Path:
    """A group whose unit files hold the given text; returns its folder."""
    (folder / "units").mkdir(parents=True)
    (folder / "config.toml").write_text(f"[Configs]\nunits = {json.dumps(list(units))}\n{config}")
    (folder / "test_case.py").write_text(code)
    for name, text in units.items():
        (folder / "units" / f"{name}.toml").write_text(f"[{name}]\n{text}\n")
    return folder


def run(group: Path) -> float:
    """Run a group that must pass; returns seconds for the whole command."""
    command = [sys.executable, "-m", "testrium", "run", str(group), "--plain"]
    environment = os.environ | {"BENCHMARK_RESULT": str(group.parent / "result.json")}
    before = time.perf_counter()
    subprocess.run(
        command, cwd=group.parent, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - before


def measured(group: Path) -> list[int]:
    """What the group's units measured, sorted, in ns."""
    run(group)
    return sorted(json.loads((group.parent / "result.json").read_text()))


def show(what: str, seconds: float) -> None:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size or unit == "us":
            print(f"  {what:<44} {seconds / size:8.2f} {unit}", flush=True)
            return


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hello = folder / "hello"
        subprocess.run(
            [sys.executable, "-m", "testrium", "gen", "config-template", str(hello)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        show("hello, the whole command", statistics.median(run(hello) for _ in range(ROUNDS)))

        entry = 'entrypoint = "test_case:main"\n'
        chain = {
            f"u{number}": f'init = {number}\n{entry}ready_event = "ready"\nstop = "self"\n'
            + (f'unit_dependencies = ["u{number - 1}"]' if number else "")
            for number in range(10)
        }
        group = write_group(folder / "chain", CHAIN, chain)
        show(
            "ten units, each ready before the next",
            statistics.median(run(group) for _ in range(ROUNDS)),
        )

        allowed = '[verify]\norphans = "allow"\n'
        group = write_group(folder / "emit", EMIT, {"main": f"init = 0\n{entry}"}, allowed)
        costs = measured(group)
        show(f"a probe, median of {PROBES}", costs[len(costs) // 2] / 1e9)
        show("a probe, p99", costs[len(costs) * 99 // 100] / 1e9)

        units = {
            "echo": 'init = 0\nentrypoint = "test_case:echo"',
            "main": f"init = 1\n{entry}",
        }
        delays = measured(write_group(folder / "wake", WAKE, units))
        show(f"from a probe to its waiter, median of {WAKES}", delays[len(delays) // 2] / 1e9)
        show("from a probe to its waiter, p99", delays[len(delays) * 99 // 100] / 1e9)


if __name__ == "__main__":
    main()
