"""The same tests in PySys 2.2 and in Testrium: servers, many tiny commands, cycles side by side.

    pip install PySys==2.2
    python benchmarks/against_pysys.py

A Python server is started in the background; its line in the log and its socket are waited for; it
is stopped; the line is asserted. A tiny command is `true`; a cycle is half a second of `sleep`, run
again and again, ten at a time. Whole commands with the interpreter that runs this file, in turn,
nine times; the median counts. Both start one server for each test. Install Testrium as a wheel, and
leave PYTHONDONTWRITEBYTECODE unset: an editable installation compiles at each start.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

SHORT = "--short" in sys.argv
ROUNDS = 1 if SHORT else 9
MANY = 2 if SHORT else 10
TINY = 3 if SHORT else 40
CYCLES = 2 if SHORT else 20

SERVER = """
import socket, sys

server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""

PROJECT = """<?xml version="1.0" encoding="utf-8"?>
<pysysproject>
    <requires-pysys>2.2</requires-pysys>
</pysysproject>
"""

PYSYS_TEST = """
__pysys_title__ = "a server"

import sys
import pysys.basetest


class PySysTest(pysys.basetest.BaseTest):
    def execute(self):
        port = self.getNextAvailableTCPPort()
        server = self.startProcess(
            sys.executable, [self.project.testRootDir + "/server.py", port],
            stdouterr="server", background=True,
        )
        self.waitForGrep("server.out", "listening", process=server)
        self.waitForSocket(port)
        server.stop()

    def validate(self):
        self.assertGrep("server.out", "listening")
"""

#: After the last expectation Testrium observes for 100 ms by default; PySys does no such thing.
CONFIG = """
[Configs]
units = ["server"]
[verify]
settle = "0ms"
"""

UNIT = """
["server"]
init = 0
command = ["{python}", "{server}", "${{port.http}}"]
ports = ["http"]
ready = {{tcp = "${{port.http}}"}}
stop = "runner"
events = ["listening"]
probes = [{{log = "listening", step = "listening"}}]
"""


def write_tests(folder: Path, count: int) -> None:
    """The same tests for both, below folders of their own."""
    pysys, testrium = folder / "pysys", folder / "testrium"
    for root in (pysys, testrium):
        root.mkdir(parents=True)
        (root / "server.py").write_text(SERVER)
    (pysys / "pysysproject.xml").write_text(PROJECT)
    for number in range(count):
        test = pysys / f"server_{number:02}"
        test.mkdir()
        (test / "pysystest.py").write_text(PYSYS_TEST)
        group = testrium / f"server_{number:02}"
        (group / "units").mkdir(parents=True)
        (group / "config.toml").write_text(CONFIG)
        unit = UNIT.format(python=sys.executable, server=testrium / "server.py")
        (group / "units" / "server.toml").write_text(unit)


#: One command, which ends by itself.
PYSYS_COMMAND = """
__pysys_title__ = "a command"

import pysys.basetest


class PySysTest(pysys.basetest.BaseTest):
    def execute(self):
        self.startProcess("{program}", {arguments}, stdouterr="command")

    def validate(self):
        self.assertThat("True")
"""


def write_commands(folder: Path, count: int, command: list[str], configs: str = "") -> None:
    """Tests of one command each, for both, below folders of their own."""
    pysys, testrium = folder / "pysys", folder / "testrium"
    program = shutil.which(command[0])
    for root in (pysys, testrium):
        root.mkdir(parents=True)
    (pysys / "pysysproject.xml").write_text(PROJECT)
    for number in range(count):
        test = pysys / f"command_{number:02}"
        test.mkdir()
        text = PYSYS_COMMAND.format(program=program, arguments=command[1:])
        (test / "pysystest.py").write_text(text)
        group = testrium / f"command_{number:02}"
        (group / "units").mkdir(parents=True)
        (group / "config.toml").write_text(f'[Configs]\nunits = ["command"]\n{configs}')
        unit = f'["command"]\ncommand = {json.dumps(command)}\n'
        (group / "units" / "command.toml").write_text(unit)


def seconds(command: list[str], folder: Path) -> float:
    before = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    took = time.perf_counter() - before
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")
    return took


def compare(
    what: str,
    write: Callable[[Path], None],
    jobs: int,
    pysys: str,
    cycles: int = 1,
) -> None:
    """Run the same tests with both, in turn; `cycles` is how often each is run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        theirs: list[float] = []
        ours: list[float] = []
        for _ in range(ROUNDS):
            command = [sys.executable, pysys, "run", f"-n{jobs}", "--cycle", str(cycles)]
            theirs.append(seconds(command, folder / "pysys"))
            command = [sys.executable, "-m", "testrium", "run", f"-j{jobs}"]
            command += ["--repeat", str(cycles - 1)]
            ours.append(seconds(command, folder / "testrium"))
    before, now = statistics.median(theirs), statistics.median(ours)
    print(f"  {what:<32} {before:6.2f} s  {now:6.2f} s  {before / now:4.1f} times faster")


def main() -> None:
    script = shutil.which("pysys.py", path=str(Path(sys.executable).parent))
    if script is None or importlib.util.find_spec("pysys") is None:
        print("  skipped: PySys is not installed here (pip install PySys==2.2)")
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compare("one server", partial(write_tests, count=1), 1, script)
    compare(f"{MANY} servers, two at once", partial(write_tests, count=MANY), 2, script)
    tiny = partial(write_commands, count=TINY, command=["true"])
    compare(f"{TINY} tiny commands", tiny, 1, script)
    cycle = partial(
        write_commands, count=1, command=["sleep", "0.5"], configs="side-by-side = true\n"
    )
    compare(f"{CYCLES} cycles of 0.5 s, ten at once", cycle, 10, script, cycles=CYCLES)


if __name__ == "__main__":
    main()
