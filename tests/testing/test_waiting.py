"""Waits: answered by what came, ended early by a death or an error, told what was seen."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from testrium.record.inotify import Inotify
from testrium.testing import (
    ErrorLineError,
    Log,
    ProcessEndedError,
    WaitTimeoutError,
    free_port,
    wait_for_exit,
    wait_for_file,
    wait_for_log,
    wait_for_port,
    wait_for_probe,
    wait_until,
)
from testrium.testing.files import emitted_steps
from testrium.testing.waking import waking

from .conftest import Start

#: Prints what it reads, line by line, and ends with its input.
ECHO = "import sys\nfor line in sys.stdin: print(line, end='')\nsys.exit(3)"


def written(path: Path, text: str, mode: str = "a") -> Path:
    with path.open(mode) as file:
        file.write(text)
    return path


@pytest.fixture(params=["inotify", "looking"])
def _woken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "looking":
        monkeypatch.setattr(Inotify, "open", lambda: None)


@pytest.mark.usefixtures("_woken")
class TestLog:
    def test_what_was_written_before(self, tmp_path: Path) -> None:
        match = wait_for_log(written(tmp_path / "a", "x\nport 80\n"), r"port (?P<port>\d+)")
        assert (match["port"], match.string) == ("80", "port 80")

    def test_what_comes_later(self, tmp_path: Path) -> None:
        """The file does not exist when the wait begins."""
        timer = threading.Timer(0.05, written, (tmp_path / "a", "ready\n"))
        timer.start()
        assert wait_for_log(tmp_path / "a", "ready", timeout=30).string == "ready"
        timer.join()

    def test_a_line_counts_once_it_is_complete(self, tmp_path: Path) -> None:
        log = Log(written(tmp_path / "a", "port 8"))
        with pytest.raises(WaitTimeoutError, match=r"were:\n  \| port 8"):
            wait_for_log(log, r"port 80", timeout=0.05)
        written(tmp_path / "a", "0\n")
        assert wait_for_log(Log(tmp_path / "a"), r"port \d+")[0] == "port 80"

    def test_at_the_end_of_its_process_what_is_left_is_a_line(self, python: Start) -> None:
        process = python("print('no end', end='')")
        assert wait_for_log(process, "no end", timeout=30)

    def test_invalid_utf8(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"\xff\xfe\0 ready\r\n")
        assert wait_for_log(tmp_path / "a", "ready$").string == "\\xff\\xfe\0 ready"

    def test_a_process_that_ends(self, python: Start) -> None:
        process = python("import sys\nprint('bye')\nsys.exit(3)", name="p")
        with pytest.raises(ProcessEndedError) as caught:
            wait_for_log(process, "ready", timeout=60)
        assert str(caught.value) == (
            "a line that matches 'ready' in the output of p did not come: "
            "p ended with exit code 3; the last lines were:\n  | bye"
        )

    def test_another_process_by_its_number(self, tmp_path: Path, python: Start) -> None:
        process = python("print(1)")
        with pytest.raises(
            ProcessEndedError, match=f"process {process.pid} ended; .*a does not exist$"
        ):
            wait_for_log(tmp_path / "a", "x", process=process.pid, timeout=60)

    def test_an_error_line(self, tmp_path: Path) -> None:
        path = written(tmp_path / "a", "x\nERROR: no disk\nready\n")
        with pytest.raises(ErrorLineError, match="because of this one: ERROR: no disk"):
            wait_for_log(path, "ready", error=["WARN", "ERROR"])

    def test_plain_text(self, tmp_path: Path) -> None:
        assert wait_for_log(written(tmp_path / "a", "a+b\n"), "a+b", literal=True)

    def test_on_behind_what_was_found(self, tmp_path: Path) -> None:
        log = Log(written(tmp_path / "a", "item 1\nitem 2\n"))
        found = [wait_for_log(log, r"item (\d)")[1] for _ in range(2)]
        assert found == ["1", "2"]
        with pytest.raises(WaitTimeoutError):
            wait_for_log(log, "item", timeout=0)

    def test_a_file_that_is_begun_anew(self, tmp_path: Path) -> None:
        log = Log(written(tmp_path / "a", "a long first line\n"))
        assert wait_for_log(log, "first")
        written(tmp_path / "a", "second\n", "w")
        assert wait_for_log(log, "second")


class Counted(Log):
    """Counts the bytes that are read."""

    read_bytes = 0

    def _read(self, path: Path) -> bool:
        before = self._offsets[path]
        found = super()._read(path)
        Counted.read_bytes += self._offsets[path] - before
        return found


def test_nothing_is_read_twice(tmp_path: Path) -> None:
    log = Counted(written(tmp_path / "a", "line\n" * 1000))
    for number in range(20):
        written(tmp_path / "a", f"mark {number}\n")
        assert wait_for_log(log, f"mark {number}$")
    assert Counted.read_bytes == (tmp_path / "a").stat().st_size


@pytest.mark.usefixtures("_woken")
class TestFile:
    def test_it_comes(self, tmp_path: Path) -> None:
        timer = threading.Timer(0.05, written, (tmp_path / "a", ""))
        timer.start()
        assert wait_for_file("a", timeout=30) == tmp_path / "a"
        timer.join()

    def test_it_does_not(self, tmp_path: Path) -> None:
        (tmp_path / "other").touch()
        with pytest.raises(WaitTimeoutError, match="within 0 s; its folder holds other"):
            wait_for_file("a", timeout=0)
        with pytest.raises(WaitTimeoutError, match=r"its folder .*/none does not exist"):
            wait_for_file("none/a", timeout=0.01)

    def test_its_maker_ends(self, python: Start) -> None:
        with pytest.raises(ProcessEndedError, match="p ended with exit code 0"):
            wait_for_file("a", process=python("print(1)", name="p"), timeout=60)

    def test_its_maker_made_it_and_ended(self, python: Start) -> None:
        process = python("open('a', 'w').close()")
        process.wait(30)
        assert wait_for_file("a", process=process, timeout=60)


def test_a_port(python: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        wait_for_port(server.getsockname()[1])
    port = free_port()
    with pytest.raises(WaitTimeoutError, match="the last try: Connection refused"):
        wait_for_port(port, timeout=0.05)
    with pytest.raises(ProcessEndedError, match=f"a server at 127.0.0.1:{port} did not come: p"):
        wait_for_port(port, process=python("print(1)", name="p"), timeout=60)


def test_an_exit(python: Start) -> None:
    process = python("import sys\nsys.exit(7)")
    assert wait_for_exit(process.pid, timeout=30) is None
    assert wait_for_exit(process, timeout=30) == 7
    with pytest.raises(WaitTimeoutError, match="did not come within 0 s"):
        wait_for_exit(os.getpid(), timeout=0)


def test_any_condition() -> None:
    answers = iter([0, "", 5])
    wait_until(lambda: next(answers), timeout=30)
    with pytest.raises(WaitTimeoutError, match=r"rain did not .* the last value was \[\]"):
        wait_until(list, "rain", timeout=0)


def test_outside_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TESTRIUM_RUN_DIR", "TESTRIUM_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RuntimeError, match="and it does not exist"):
        wait_for_log("api", "x")
    with pytest.raises(RuntimeError, match="only in a process that testrium run"):
        wait_for_probe("api:up")


def test_units_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTRIUM_RUN_DIR", str(tmp_path))
    folder = tmp_path / "units" / "api"
    folder.mkdir(parents=True)
    (folder / "stderr.log").write_text("ready\n")
    assert wait_for_log("api", "ready")
    with pytest.raises(ValueError, match="this run has no unit 'apo'; did you mean 'api'"):
        wait_for_probe("apo:up")
    (folder / "probes-1.jsonl").write_text('{"step": "up"}\nno probe\n{"step": "down"}\n[]\n')
    (folder / "probes-2.jsonl").write_text('{"step": "up"}\n{"step"')
    assert emitted_steps("api") == ["up", "down"]
    with pytest.raises(ValueError, match="and no file of this name; did you mean 'api'"):
        wait_for_log("apo", "ready")


def test_a_wait_looks_once_more_before_it_gives_up() -> None:
    with waking("it", 0) as wakes:
        wakes.wait(None)
        with pytest.raises(WaitTimeoutError, match="it did not come within 0 s; this was seen"):
            wakes.wait("this was seen")


@pytest.mark.parametrize("count", [0, "2"])
def test_a_count_is_a_number_of_lines(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match="count must be a whole number from 1, got"):
        wait_for_log(tmp_path / "log", "x", count=count)
