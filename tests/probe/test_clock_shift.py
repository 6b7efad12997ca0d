"""The file that says how far a unit's clock is off."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testrium.probe import environment as names
from testrium.probe.emitter import Emitter
from testrium.probe.faults import read_ns, written

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.probe.conftest import Lines

HOUR_NS = 3_600_000_000_000


@given(st.integers(-(10**21), 10**21))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path: Path, shift_ns: int) -> None:
    file = tmp_path / "clock"
    file.write_text(written(shift_ns))
    assert read_ns(str(file)) == shift_ns


def test_no_file_no_shift(tmp_path: Path) -> None:
    assert read_ns(str(tmp_path / "clock")) == 0


def test_the_wall_time_of_probes_is_off(
    probes: Path, lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = tmp_path / "clock"
    monkeypatch.setenv(names.CLOCK, str(clock))
    emitter = Emitter(str(probes), "")
    for shift_ns in (0, HOUR_NS, -HOUR_NS):
        clock.write_text(written(shift_ns))
        emitter.emit("x", "Default", None, (), {})
    now_ns, now_mono_ns = time.time_ns(), time.monotonic_ns()
    off = [round((line["wall_ns"] - now_ns) / HOUR_NS) for line in lines()]
    assert off == [0, 1, -1]
    assert all(0 <= now_mono_ns - line["t_ns"] < 60e9 for line in lines())
