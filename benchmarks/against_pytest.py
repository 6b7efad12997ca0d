"""hello in Testrium, and the same two processes started by a test of pytest.

    python benchmarks/against_pytest.py

The test does what one writes by hand: it starts a server and a client with subprocess, waits for
the server's line, then for the end of both, and compares what the client printed. Testrium also
records every message and proves the route of each. Whole commands with the interpreter that runs
this file, in turn, nine times; the median counts. Leave PYTHONDONTWRITEBYTECODE unset: an editable
installation compiles at each start.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 1 if "--short" in sys.argv else 9

SERVER = """
import socket

with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    with connection, connection.makefile("rw") as wire:
        for line in wire:
            key, text = line.split()
            print(key, text.upper(), file=wire, flush=True)
"""

CLIENT = """
import socket, sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    with connection.makefile("rw") as wire:
        for number, text in enumerate(["open", "read", "close"], start=1):
            print(f"command-{number}", text, file=wire, flush=True)
            print(wire.readline().strip())
"""

TEST = """
import subprocess
import sys


def test_hello():
    start = [sys.executable, "server.py"]
    with subprocess.Popen(start, stdout=subprocess.PIPE, text=True) as server:
        port = server.stdout.readline().strip()
        client = subprocess.run(
            [sys.executable, "client.py", port], capture_output=True, text=True, timeout=10
        )
        assert server.wait(timeout=10) == 0
    assert client.returncode == 0
    assert client.stdout.splitlines() == ["command-1 OPEN", "command-2 READ", "command-3 CLOSE"]
"""


def seconds(folder: Path, *command: str) -> float:
    """How long a command takes that must succeed."""
    before = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - before
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr}")
    return took


def main() -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # pytest alone, whatever is installed here
    with tempfile.TemporaryDirectory() as name:
        ours, theirs = Path(name, "testrium"), Path(name, "pytest")
        for folder in (ours, theirs):
            folder.mkdir()
        seconds(ours, "testrium", "gen", "config-template", ".")
        for file, code in (("server", SERVER), ("client", CLIENT), ("test_hello", TEST)):
            (theirs / f"{file}.py").write_text(code)
        taken: dict[str, list[float]] = {"pytest": [], "testrium": []}
        for _ in range(1 + ROUNDS):  # the first compiles
            taken["pytest"].append(seconds(theirs, "pytest", "-q", "-p", "no:cacheprovider"))
            taken["testrium"].append(seconds(ours, "testrium", "run", "--plain"))
    by_hand, proved = (statistics.median(times[1:]) for times in taken.values())
    ratio = proved / by_hand
    print(f"  hello: pytest {by_hand:.3f} s, Testrium {proved:.3f} s, {ratio:.2f} times as long")


if __name__ == "__main__":
    main()
