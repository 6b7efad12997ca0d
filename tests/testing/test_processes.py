"""Processes that a test starts: environment, folder, input, exit, stop, output."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from testrium.testing import (
    ExitError,
    WaitError,
    WaitTimeoutError,
    check_file,
    check_log,
    extract,
    run,
    start,
    wait_for_exit,
)
from testrium.testing.starting import PIPE

from .conftest import Start

FOREVER = "import signal\nprint('up')\nsignal.pause()"
#: Stops only when it is killed, and has started another one.
STUBBORN = (
    "import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('child', subprocess.Popen(['sleep', '60']).pid)\nsignal.pause()"
)


def test_the_exact_environment() -> None:
    assert run(["env"], env={"A": "1", "B": "x y"}, inherit_env=False).stdout == "A=1\nB=x y\n"


def test_the_environment_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "inherited")
    assert run(["sh", "-c", "echo $MINE $MORE"], env={"MORE": "2"}).stdout == "inherited 2\n"


def test_the_working_folder(tmp_path: Path) -> None:
    assert run(["pwd"], cwd=tmp_path).stdout == f"{tmp_path.resolve()}\n"


def test_input(tmp_path: Path) -> None:
    assert run(["cat"]).stdout == ""
    assert run(["cat"], stdin="ä\n").stdout == "ä\n"
    assert run(["cat"], stdin=b"\xff").stdout == "\\xff"
    (tmp_path / "in.txt").write_text("from a file")
    assert run(["cat"], stdin=tmp_path / "in.txt").stdout == "from a file"
    large = "x" * 1_000_000
    assert run(["true"], stdin=large).exit_code == 0
    assert run(["cat"], stdin=large).stdout == large


def test_another_encoding() -> None:
    done = run(["cat"], stdin="caf\xe9\n", encoding="latin-1")
    assert done.stdout_path.read_bytes() == b"caf\xe9\n"
    assert done.stdout == "caf\xe9\n"
    check_log(done, contains="^caf\xe9$")
    check_file(done, encoding="cp1251", contains="^caf\u0439$")
    assert extract(done, "(?P<word>caf.)") == {"word": "caf\xe9"}
    assert "caf\xe9" in done.last_output()
    with pytest.raises(ValueError, match="unknown encoding 'latin-99': give a name such as"):
        run(["cat"], encoding="latin-99")
    with pytest.raises(ValueError, match="unknown encoding 'base64'"):
        check_log(done, encoding="base64", contains="x")


def test_a_conversation() -> None:
    with start(["cat"], stdin=PIPE) as cat:
        cat.write("hello\n")
        cat.close_stdin()
        assert cat.wait() == 0
    assert cat.stdout == "hello\n"


def test_no_conversation(python: Start) -> None:
    with pytest.raises(ValueError, match=r"was not started with stdin=testing\.PIPE"):
        python(FOREVER).write("x")


def test_expected_exit_codes() -> None:
    assert run(["sh", "-c", "exit 4"], exit=(4, 5)).exit_code == 4
    assert run(["sh", "-c", "exit 9"], exit=None).exit_code == 9
    assert run(["sh", "-c", "exit 9"], exit="!=0").exit_code == 9
    assert run(["true"], exit=(3, "any")).exit_code == 0
    assert run(["sh", "-c", "kill -SEGV $$"], exit=-signal.SIGSEGV).exit_code == -signal.SIGSEGV
    with pytest.raises(ValueError, match=r'exit is a number, "!=0" or "any", not .== 3.'):
        run(["true"], exit="== 3")
    with pytest.raises(ExitError) as caught:
        run(["sh", "-c", "echo why >&2; exit 4"])
    assert str(caught.value) == (
        "sh ended with exit code 4, expected exit code 0; the last lines were:\n  | why"
    )
    with pytest.raises(
        ExitError, match="sh was ended by SIGSEGV, expected exit code 0 or !=0 or any"
    ):
        run(["sh", "-c", "kill -SEGV $$"], exit=(0, "!=0", "any"))


def test_a_run_that_takes_too_long_is_stopped() -> None:
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError, match=r"the end of sleep did not come within 0\.3 s"):
        run(["sleep", "60"], timeout=0.3)
    assert 0.3 <= time.monotonic() - began < 30


def test_stop_takes_the_children_along(python: Start) -> None:
    process = python(STUBBORN, ready={"log": "child"})
    child = int(process.stdout.split()[1])
    assert process.stop(grace=0.1) == -signal.SIGKILL
    wait_for_exit(child, timeout=30)


def test_stop_twice_and_after_the_end(python: Start) -> None:
    process = python("print(1)")
    assert process.wait() == 0
    assert (process.stop(), process.stop()) == (0, 0)
    assert "ended with exit code 0" in repr(process)


def test_each_has_a_folder_of_its_own(tmp_path: Path) -> None:
    first, second = run(["echo", "1"], name="same"), run(["echo", "2"], name="same")
    assert (first.stdout, second.stdout) == ("1\n", "2\n")
    assert second.stdout_path == tmp_path / "same-2" / "stdout.log"
    assert second.stdout_path.stat().st_mode & 0o777 == 0o600


def test_what_does_not_become_ready_is_stopped(python: Start) -> None:
    with pytest.raises(WaitError, match="because of this one: up"):
        python(FOREVER, name="p", ready={"log": "never"}, error="up")
    with pytest.raises(WaitTimeoutError):
        python(FOREVER, name="q", ready={"file": "none"}, timeout=0.1)
    from testrium.testing.processes import _alive

    assert not [process for process in _alive.values() if process.name in "pq"]


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="ready has one of log, tcp, file"):
        start(["true"], ready={"http": "x"})
    with pytest.raises(TypeError, match=r"the command must be a list of words.*got 'cat file'"):
        start("cat file")
    with pytest.raises(ValueError, match="the command is empty"):
        start([])
    with pytest.raises(FileNotFoundError):
        start(["no-such-program"])


def test_what_was_forgotten_is_stopped_at_the_end(tmp_path: Path) -> None:
    code = (
        "import os\nfrom testrium import testing\np = testing.start(['sleep', '60'])\n"
        "print(p.pid, p.stdout_path, flush=True)\nif os.fork() == 0: raise SystemExit\nos.wait()\n"
        "assert p.exit_code is None, 'a child of ours has stopped it'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    pid, path = done.stdout.split()
    assert not Path(f"/proc/{pid}").exists()
    assert not Path(path).parent.parent.exists()


@pytest.mark.parametrize("wanted", ["TERM", "SIGTERM", "term", signal.SIGTERM])
def test_signals_by_name_and_by_number(wanted: str | int) -> None:
    process = start(["sleep", "60"])
    process.send_signal(wanted)
    assert process.wait() == -signal.SIGTERM


@pytest.mark.parametrize("wanted", ["TREM", 12345])
def test_no_such_signal(wanted: str | int) -> None:
    with start(["sleep", "60"]) as process:
        with pytest.raises(ValueError, match=f"no such signal: {wanted!r}"):
            process.send_signal(wanted)
        assert process.stop(signal.SIGKILL) == -signal.SIGKILL
