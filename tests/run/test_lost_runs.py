"""What a lost run has left is ended; nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from testrium.record.runs import claimed, end_lost_runs, lost_runs

RUN = "20261121-031500-ab12"
WAIT = "import signal; print('up', flush=True); signal.pause()"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "runs" / RUN / "group").mkdir(parents=True)
    (tmp_path / "runs" / RUN / ".running").touch()
    return tmp_path


def tagged(state: Path, run: str = RUN) -> dict[str, str]:
    return {**os.environ, "TESTRIUM_RUN": run, "TESTRIUM_RUN_DIR": f"{state}/runs/{run}/group"}


@contextmanager
def waiting(env: Mapping[str, str], stderr: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for a signal."""
    with (
        Path(stderr or os.devnull).open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-c", WAIT],
            env=env,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def test_a_process_with_the_runs_environment_is_ended(state: Path) -> None:
    with waiting(tagged(state)) as process:
        (notice,) = end_lost_runs(state)
        assert process.wait(5) == -signal.SIGKILL
    assert notice.startswith(f"run {RUN} was lost; ended a process of it: ")
    assert "signal.pause" in notice


def test_a_process_that_writes_into_the_runs_folder_is_ended(state: Path) -> None:
    with waiting(os.environ, state / "runs" / RUN / "group" / "stderr.log") as process:
        assert len(end_lost_runs(state)) == 1
        assert process.wait(5) == -signal.SIGKILL


def test_each_lost_run_is_looked_at_once(state: Path) -> None:
    assert lost_runs(state) == (state / "runs" / RUN,)
    assert end_lost_runs(state) == ()
    assert lost_runs(state) == ()


def test_a_running_run_keeps_its_processes(state: Path) -> None:
    with claimed(state / "runs" / RUN), waiting(tagged(state)) as process:
        assert end_lost_runs(state) == ()
        assert process.poll() is None


@pytest.mark.parametrize("run", ["20261121-031500-ab13", RUN + "0"])
def test_another_run_keeps_its_processes(state: Path, run: str) -> None:
    with waiting(tagged(state, run)) as process:
        assert end_lost_runs(state) == ()
        assert process.poll() is None


def test_who_calls_from_a_units_environment_survives(state: Path) -> None:
    """Somebody looks into a lost run with its environment, and calls testrium there."""
    sweep = (
        "import sys; from pathlib import Path; from testrium.record.runs import end_lost_runs;"
        " print(end_lost_runs(Path(sys.argv[1])))"
    )
    shell = '"$0" -c "$1" "$2"; echo alive'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable, sweep, str(state)],
        env=tagged(state),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "()\nalive\n"
