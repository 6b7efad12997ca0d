from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from testrium.errors import InfraError
from testrium.evidence import Reported
from testrium.record.probe_file import ProbeFile
from testrium.record.reader import load_evidence
from testrium.record.store import Store, recover

Append = Callable[..., None]

#: A runner that is killed between two lines of a unit.
KILLED = """
import asyncio, os, signal, sys, time
from pathlib import Path
from testrium.record.recorder import Recorder

async def main(folder):
    recorder = Recorder(folder / "Data.db", "clock")
    recorder.open()
    recorder.watch("a", 1, 1, folder / "a", 1)
    with open(folder / "a", "a") as file:
        file.write('{"step": "stored", "t_ns": 5}\\n')
    await recorder.wait_for("a", "stored")
    with open(folder / "a", "a") as file:
        file.write('{"step": "unread"}\\nnoise\\n{"metric": "rate", "value": 3}\\n{"step": "last"}')
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)])
    assert done.returncode == -signal.SIGKILL
    return folder


def test_what_was_not_stored_is_read_once(killed: Path) -> None:
    assert [event.step for event in load_evidence(killed / "Data.db").events] == ["stored"]
    assert recover(killed) == 2
    assert recover(killed) == 0
    evidence = load_evidence(killed / "Data.db")
    assert [event.step for event in evidence.events] == ["stored", "unread", "last"]
    assert [event.id for event in evidence.events] == [1, 2, 3]
    assert [damage.line for damage in evidence.damages] == ["noise"]
    assert evidence.metrics == (Reported("rate", 3.0, "", "smaller", "a", 1),)


def test_times_are_of_when_the_file_was_written(killed: Path) -> None:
    written_ns = time.monotonic_ns()
    later_ns = time.time_ns() - 10**9  # a second ago, on the wall clock
    os.utime(killed / "a", ns=(later_ns, later_ns))
    recover(killed)
    unread = load_evidence(killed / "Data.db").events[1]
    assert unread.t_low_ns is not None
    assert 5 <= unread.t_low_ns <= unread.t_ns < written_ns


def test_a_folder_that_was_moved(killed: Path, tmp_path: Path) -> None:
    shutil.move(killed, tmp_path / "elsewhere")
    assert recover(tmp_path / "elsewhere") == 2


def test_a_probe_file_that_is_gone_is_a_damage(killed: Path) -> None:
    (killed / "a").unlink()
    assert recover(killed) == 0
    assert recover(killed) == 0
    (damage,) = load_evidence(killed / "Data.db").damages
    assert damage.unit == "a"
    assert "gone" in damage.reason


def test_nothing_to_recover(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="nothing to recover"):
        recover(tmp_path)


def test_several_at_once_store_nothing_twice(tmp_path: Path) -> None:
    database = tmp_path / "Data.db"
    probes = tmp_path / "p"
    with (
        closing(Store(database)) as store,
        closing(ProbeFile(str(probes), "u", domain="d")) as file,
    ):
        store.add_file(file)
    probes.write_text("".join(f'{{"step":"s","seq":{number + 1}}}\n' for number in range(3000)))
    with ThreadPoolExecutor(5) as threads:
        added = list(threads.map(recover, [tmp_path] * 5))
    assert sorted(added) == [0, 0, 0, 0, 3000]


def test_a_probe_file_that_was_cut_meanwhile_is_a_damage(tmp_path: Path) -> None:
    database = tmp_path / "Data.db"
    probes = tmp_path / "p"
    probes.write_text('{"step":"a"}\n{"step":"b"}\n')
    with (
        closing(Store(database)) as store,
        closing(ProbeFile(str(probes), "u", domain="d")) as file,
    ):
        store.add_file(file)
        batch = file.read(1)
        store.append(batch.readings, batch.damages, [file])
    probes.write_text('{"step":"a"}\n')
    recover(tmp_path)
    (damage,) = load_evidence(database).damages
    assert "was cut" in damage.reason
