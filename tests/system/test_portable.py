"""Where nothing adopts orphans, a unit's processes are found by three signs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import psutil
import pytest

from testrium.system import kernel, portable

#: Forks, makes a session in the child if asked to, and tells the pid of the one that stays.
STRAY = """
import os, sys
reader, writer = os.pipe()
if os.fork() == 0:
    if "setsid" in sys.argv:
        os.setsid()
    if os.fork() == 0:
        os.write(writer, str(os.getpid()).encode())
        os.close(1)
        os.execve("/bin/sleep", ["sleep", "1000"], {} if "bare" in sys.argv else os.environ)
    os._exit(0)
os.wait()
print(os.read(reader, 20).decode(), flush=True)
sys.stdin.read()
"""


class Stray:
    """A unit's process, and one that it has started and whose parent has ended."""

    def __init__(self, *how: str) -> None:
        self.run = os.urandom(4).hex()  # tests run side by side
        self.mark = f"{self.run}.1"
        self.unit = subprocess.Popen(
            [sys.executable, "-c", STRAY, *how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, portable.MARK: self.mark},
            start_new_session=True,
        )
        assert self.unit.stdout is not None
        self.pid = int(self.unit.stdout.readline())

    def found(self, mark: str | None = None) -> list[int]:
        wanted = self.mark if mark is None else mark
        return [process.pid for process in portable.belonging(self.unit.pid, wanted)]

    def end(self) -> None:
        self.unit.communicate()
        for process in (self.pid, self.unit.pid):
            if psutil.pid_exists(process):
                os.kill(process, signal.SIGKILL)


@pytest.fixture
def stray(request: pytest.FixtureRequest) -> Iterator[Stray]:
    made = Stray(*request.param)
    yield made
    made.end()


@pytest.mark.parametrize("stray", [()], indirect=True)
def test_found_by_the_session(stray: Stray) -> None:
    assert stray.found(mark="") == [stray.pid]


@pytest.mark.parametrize("stray", [("setsid",)], indirect=True)
def test_found_by_the_mark(stray: Stray) -> None:
    assert stray.found(mark="") == []
    assert stray.found(mark=f"{stray.run}.2") == []
    assert stray.found() == [stray.pid]


@pytest.mark.parametrize("stray", [("setsid", "bare")], indirect=True)
def test_what_shows_no_sign_is_lost(stray: Stray) -> None:
    """As docs/platforms.md tells."""
    assert stray.found() == []


@pytest.mark.parametrize("stray", [("setsid",)], indirect=True)
def test_orphans_of_a_run_are_ended(stray: Stray) -> None:
    portable.end_orphans((), "other", [])
    assert stray.found() == [stray.pid]
    portable.end_orphans((), stray.run, [])
    assert stray.found() == []


def test_a_block_of_ports_has_one_owner() -> None:
    block = range(40_000, 40_016)
    first = portable.lock_ports(block)
    assert first is not None
    lock, taken = first
    assert taken == {40_000}
    assert portable.lock_ports(block) is None
    lock.close()
    again = portable.lock_ports(block)
    assert again is not None
    again[0].close()


def test_a_process_can_end_with_another() -> None:
    code = (
        "import sys; from testrium.system import portable; "
        "portable.die_with_parent(int(sys.argv[1])); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(["sleep", "1000"]) as other:
        command = [sys.executable, "-c", code, str(other.pid)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bound:
            assert bound.stdout is not None
            bound.stdout.readline()
            assert bound.poll() is None
            other.kill()
            assert bound.wait() == 1


@pytest.mark.parametrize("module", [kernel, portable])
def test_ports_with_a_listener(module: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        listening = module.listening_ports()
        assert server.getsockname()[1] in listening
        assert silent.getsockname()[1] not in listening
