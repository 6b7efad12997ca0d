"""How a run went: states, logs and when they grew."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from testrium.evidence import LogPiece, Moments, OutputMark, Sample, StoredLog
from testrium.record import reader
from testrium.record.reader import load_logs, load_moments
from testrium.record.store import Store


def test_moments_come_back_in_their_order(tmp_path: Path) -> None:
    samples = [Sample("a", 1, t_ns, 0.1, None, 500, 1, 5, 0) for t_ns in (20, 10)]
    with closing(Store(tmp_path / "Data.db")) as store:
        for state in ("starting", "ready", "finished"):
            store.set_status("a", state)
        store.add_samples(samples)
        store.store_meta({"outputs": [["a", 5, 10, 0], ["a", 7, 10, 3]]})
    found = load_moments(tmp_path / "Data.db")
    assert [(one.unit, one.state) for one in found.states] == [
        ("a", "starting"),
        ("a", "ready"),
        ("a", "finished"),
    ]
    assert sorted(found.states, key=lambda one: one.t_ns) == list(found.states)
    assert found.outputs == (OutputMark("a", 5, 10, 0), OutputMark("a", 7, 10, 3))
    assert found.samples == (samples[1], samples[0])


def test_a_run_of_an_earlier_version_has_less(tmp_path: Path) -> None:
    path = tmp_path / "Data.db"
    with closing(Store(path)):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE UnitStates")
        connection.commit()
    assert load_moments(path) == Moments()


def test_logs_that_are_empty_or_gone_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "units" / "a").mkdir(parents=True)
    (tmp_path / "units" / "a" / "stdout.log").write_bytes(b"one\n")
    (tmp_path / "units" / "a" / "stderr.log").touch()
    assert load_logs(tmp_path, {"a": "utf-8", "gone": "utf-8"}) == (
        StoredLog("a", "stdout", 4, (LogPiece(0, b"one\n"),)),
    )


def test_of_a_long_log_whole_lines_of_both_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "units" / "a").mkdir(parents=True)
    line = b"0123456\n"
    size = (reader.HEAD + reader.TAIL) * 2 // len(line) * len(line)
    data = b"x\n" + line * (size // len(line))
    (tmp_path / "units" / "a" / "stdout.log").write_bytes(data)
    (log,) = load_logs(tmp_path, {"a": "utf-8"})
    assert log.size == len(data)
    for piece in log.pieces:
        assert data[piece.offset : piece.offset + len(piece.data)] == piece.data
        assert piece.data.endswith(b"\n")
        assert piece.offset == 0 or data[piece.offset - 1 : piece.offset] == b"\n"
    assert sum(len(piece.data) for piece in log.pieces) < len(data)
