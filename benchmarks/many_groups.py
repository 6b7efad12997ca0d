"""What a long or a large run costs the runner: its memory, and loads that once went wrong.

    python benchmarks/many_groups.py [--short]

The runner's memory is read from /proc whenever a group has ended. Linux only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

SHORT = "--short" in sys.argv
GROUPS = 3 if SHORT else 300
#: The first reading: what every run needs has been imported by then.
SETTLED = 1 if SHORT else 50
JOBS = 8
UNITS = 6 if SHORT else 200
PRINTED_MB = 1 if SHORT else 50
PROBES = 500 if SHORT else 50_000

PAIR = """
import testrium

def sender():
    testrium.unit().send("sent", key="k1")

def receiver():
    me = testrium.unit()
    me.wait_for("sender:sent", key="k1", timeout=10)
    me.receive("received", key="k1")
"""

READY = """
import testrium

def main():
    testrium.unit().probe("ready")
"""

PRINT = f"""
import sys
import testrium

PRINTED_MB = {PRINTED_MB}

def main():
    testrium.unit().probe("ready")
    for _ in range(PRINTED_MB * 1024):
        sys.stdout.write("x" * 1023 + "\\n")
"""

EMIT = f"""
import testrium

PROBES = {PROBES}

def main():
    me = testrium.unit()
    for number in range(PROBES):
        me.probe("step", number=number)
"""


class Cost(NamedTuple):
    """Of a whole command: seconds, and the runner's memory (MB) and open files at each group."""

    seconds: float
    memory: list[float]
    files: list[int]


def write_group(folder: Path, code: str, units: dict[str, str], config: str = "") -> None:
    """A group whose unit files hold the given text."""
    (folder / "units").mkdir(parents=True)
    (folder / "config.toml").write_text(f"[Configs]\nunits = {json.dumps(list(units))}\n{config}")
    (folder / "test_case.py").write_text(code)
    for number, (name, text) in enumerate(units.items()):
        table = f"[{name}]\ninit = {number}\n{text}\n"
        (folder / "units" / f"{name}.toml").write_text(table)


def measured(folder: Path, *options: str) -> Cost:
    """Run all groups of the folder, which must pass."""
    command = [sys.executable, "-m", "testrium", "run", str(folder), "--plain", *options]
    memory, files = [], []
    before = time.perf_counter()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        output = []
        for line in runner.stdout:
            output.append(line)
            if line.startswith("PASS"):
                memory.append(resident_mb(runner.pid))
                files.append(len(list(Path(f"/proc/{runner.pid}/fd").iterdir())))
    seconds = time.perf_counter() - before
    if runner.returncode:
        sys.exit("".join(output[-40:]))
    return Cost(seconds, memory, files)


def resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def show(what: str, value: float, unit: str) -> None:
    print(f"  {what:<48} {value:9.2f} {unit}", flush=True)


def many_groups(folder: Path) -> None:
    for number in range(GROUPS):
        units = {name: f'entrypoint = "test_case:{name}"' for name in ("sender", "receiver")}
        write_group(folder / f"g{number:03}", PAIR, units)
    cost = measured(folder, "--jobs", str(JOBS))
    show(f"{GROUPS} groups of 2 units, {JOBS} at once", cost.seconds, "s")
    for count in (SETTLED, GROUPS):
        show(f"  the runner's memory after {count} groups", cost.memory[count - 1], "MB")
    for count in (SETTLED, GROUPS):
        show(f"  its open files after {count} groups", cost.files[count - 1], "")


def many_units(folder: Path) -> None:
    """Each unit depends on one of the half before it, as in a heap: eight levels."""
    text = 'entrypoint = "test_case:main"\nready_event = "ready"\nstop = "self"\n'
    units = {
        f"u{number}": text + (f'unit_dependencies = ["u{(number - 1) // 2}"]' if number else "")
        for number in range(UNITS)
    }
    write_group(folder / "tree", READY, units, "timeout = 60\n")
    show(f"{UNITS} units in a tree of dependencies", measured(folder).seconds, "s")


def one_load(folder: Path, what: str, code: str) -> None:
    write_group(folder / "load", code, {"main": 'entrypoint = "test_case:main"'}, "timeout = 60\n")
    cost = measured(folder)
    show(what, cost.seconds, "s")
    show("  the runner's memory", cost.memory[-1], "MB")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many_groups(folder / "groups")
        many_units(folder / "units")
        one_load(folder / "print", f"a unit that prints {PRINTED_MB} MB", PRINT)
        one_load(folder / "emit", f"a unit that emits {PROBES} probes", EMIT)


if __name__ == "__main__":
    main()
