"""A million probes of eight units, against a plain loop of json and executemany.

    python benchmarks/record_million.py [--short]

The lines are written beforehand, and each unit appends its own with `cat`. Prints the seconds of
the whole command (recording, judging, the report) and of the loop, their ratio, the delays of a
unit that waits meanwhile, and the memory of the runner. The aims: at most 2.0 times the loop, 5 ms,
and 150 MB.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UNITS = 8

WAITER = """
import json, time
import testrium
me = testrium.unit()
delays = []
for number in range({rounds}):
    before_ns = time.perf_counter_ns()
    me.probe("asked", key=f"k{{number}}")
    me.wait_for("waiter:asked", key=f"k{{number}}", timeout=60)
    delays.append((time.perf_counter_ns() - before_ns) / 1e6)
    time.sleep(0.02)
delays.sort()
print(json.dumps([delays[len(delays) // 2], delays[len(delays) * 99 // 100]]))
"""


def write_group(folder: Path, probes: int) -> None:
    """The group, and the lines as the probe API writes them."""
    now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
    (folder / "units").mkdir()
    names = [*(f"u{number}" for number in range(UNITS)), "waiter"]
    (folder / "config.toml").write_text(f"[Configs]\nunits = {json.dumps(names)}\ntimeout = 600\n")
    for unit in range(UNITS):
        with (folder / f"lines{unit}.jsonl").open("w") as lines:
            for number in range(probes // UNITS):
                lines.write(
                    f'{{"step": "done", "t_ns": {now_ns + number}, "wall_ns": {wall_ns + number},'
                    f' "pid": {1000 + unit}, "seq": {number + 1}, "key": "k{number}",'
                    f' "meta": {{"n": {number}}}}}\n'
                )
        (folder / "units" / f"u{unit}.toml").write_text(
            f'[u{unit}]\ninit = {unit}\nevents = ["done"]\ntimeout = 600\n'
            f'command = ["sh", "-c", "cat lines{unit}.jsonl >> $TESTRIUM_PROBES"]\n'
        )
    (folder / "waiter.py").write_text(WAITER.format(rounds=max(5, probes // 5000)))
    (folder / "units" / "waiter.toml").write_text(
        f'[waiter]\ninit = {UNITS}\nevents = ["asked"]\ntimeout = 600\n'
        f"command = [{json.dumps(sys.executable)}, 'waiter.py']\n"
    )


def plain_loop(folder: Path) -> float:
    """Seconds to read the lines and to insert them, with nothing else."""
    before = time.perf_counter()
    with sqlite3.connect(folder / "plain.db") as database:
        database.execute(
            "CREATE TABLE Events (ID INTEGER PRIMARY KEY, Unit, Step, Type, Key, TimeNs, WallNs,"
            " Pid, Seq, Metadata)"
        )
        for unit in range(UNITS):
            with (folder / f"lines{unit}.jsonl").open() as lines:
                said = (json.loads(line) for line in lines)
                database.executemany(
                    "INSERT INTO Events VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        (
                            f"u{unit}",
                            one["step"],
                            one.get("type", "Default"),
                            one.get("key"),
                            *(one["t_ns"], one["wall_ns"], one["pid"], one["seq"]),
                            json.dumps(one["meta"]),
                        )
                        for one in said
                    ),
                )
    database.close()
    return time.perf_counter() - before


def whole_command(folder: Path) -> tuple[float, int | None]:
    """Seconds of `testrium run`, and the most memory of the runner in kB where the system tells."""
    peak_kb = None
    before = time.perf_counter()
    command = [sys.executable, "-m", "testrium", "run", "--plain", "."]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as runner:
        status = Path(f"/proc/{runner.pid}/status")
        while runner.poll() is None:
            if status.exists():
                found = [line for line in status.read_text().splitlines() if "VmHWM" in line]
                peak_kb = int(found[0].split()[1]) if found else peak_kb
            time.sleep(0.05)
        assert runner.stdout is not None
        assert runner.returncode == 0, runner.stdout.read()
    return time.perf_counter() - before, peak_kb


def main() -> None:
    """Run both, and print."""
    probes = 8000 if "--short" in sys.argv else 1_000_000
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_group(folder, probes)
        loop_s = plain_loop(folder)
        command_s, peak_kb = whole_command(folder)
        (log,) = (folder / ".testrium").rglob("units/waiter/stdout.log")
        median_ms, p99_ms = json.loads(log.read_text())
        print(f"{probes} probes: {command_s:.2f} s, a plain loop {loop_s:.2f} s")
        print(f"ratio {command_s / loop_s:.2f}")
        print(f"a wait meanwhile: median {median_ms:.1f} ms, p99 {p99_ms:.1f} ms")
        if peak_kb is not None:
            print(f"runner: {peak_kb / 1024:.0f} MB")


if __name__ == "__main__":
    main()
