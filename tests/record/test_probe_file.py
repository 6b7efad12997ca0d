from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testrium.probe.event import MAX_LINE
from testrium.record.probe_file import CHUNK, MAX_DAMAGES, ProbeFile

Append = Callable[..., None]
T_NS, LOW_NS = 6, 7  # places in an event


@pytest.fixture
def file(tmp_path: Path) -> Iterator[ProbeFile]:
    made = ProbeFile(str(tmp_path / "p"), "unit", domain="clock", start=2, attempt=3, low_ns=5)
    yield made
    made.close()


def steps(file: ProbeFile) -> list[str]:
    """Reads all that is there; the steps, and damages as "!"."""
    found = []
    more = True
    while more:
        batch = file.read(1)
        found += [fields[2] for fields, _, _ in batch.readings] + ["!"] * len(batch.damages)
        more = batch.more
    return found


def test_the_file_is_made_private(file: ProbeFile) -> None:
    assert Path(file.path).stat().st_mode & 0o777 == 0o600
    assert file.size() == 0


def test_an_event_has_all_its_fields(file: ProbeFile, append: Append) -> None:
    append("p", {"step": "s", "t_ns": 9, "wall_ns": 8, "pid": 7, "seq": 6, "meta": {"a": 1}})
    ((fields, cause, meta),) = file.read(first_id=41).readings
    assert fields == (
        *(41, "unit", "s", "Default", None, (), 9, None),
        *(8, "clock", 7, 6, 2, 3, "unit", {"a": 1}),
    )
    assert cause is None
    assert meta == '{"a":1}'


def test_a_line_may_speak_for_another_unit_and_clock(file: ProbeFile, append: Append) -> None:
    append("p", {"step": "s", "unit": "other", "domain": "edge"})
    ((fields, _, _),) = file.read(1).readings
    assert (fields[1], fields[9], fields[14]) == ("other", "edge", "unit")


def test_half_a_line_waits_for_its_other_half(file: ProbeFile, append: Append) -> None:
    append("p", {"step": "a"}, '{"step": ')
    assert steps(file) == ["a"]
    append("p", '"b"}')
    assert steps(file) == []
    append("p", "\n")
    assert steps(file) == ["b"]


def test_the_last_line_counts_without_newline_once_its_writer_has_ended(
    file: ProbeFile, append: Append
) -> None:
    append("p", '{"step": "a"}')
    assert [fields[2] for fields, _, _ in file.read_rest(1).readings] == ["a"]
    append("p", "\n", {"step": "b"})
    assert steps(file) == ["b"]


def test_a_torn_last_line_is_a_damage(file: ProbeFile, append: Append) -> None:
    append("p", '{"step": "a')
    batch = file.read_rest(1)
    ((unit, reason, line, attempt),) = batch.damages
    assert (unit, line, attempt) == ("unit", '{"step": "a', 3)
    assert reason.startswith("not JSON")
    assert file.read_rest(1).damages == []


def test_an_invalid_line_does_not_hide_the_rest(file: ProbeFile, append: Append) -> None:
    append("p", {"step": "a"}, "garbage\n", b"\x00\xff\n", "\n", {"step": "b"})
    assert steps(file) == ["a", "b", "!", "!"]  # a blank line is none


def test_a_line_that_is_too_long_is_told_once_and_stepped_over(
    file: ProbeFile, append: Append
) -> None:
    append("p", {"step": "a"}, b"x" * (3 * MAX_LINE))
    assert steps(file) == ["a", "!"]
    append("p", b"y" * MAX_LINE)
    assert steps(file) == []
    append("p", b"z\n", {"step": "b"})
    assert steps(file) == ["b"]


def test_the_longest_line_is_read(file: ProbeFile, append: Append) -> None:
    line = json.dumps({"step": "a", "meta": {"x": "x" * (MAX_LINE - 40)}}).encode()
    line += b" " * (MAX_LINE - 1 - len(line))
    append("p", line + b"\n", line + b" \n")
    assert steps(file) == ["a", "!"]


def test_damages_of_one_file_are_bounded(file: ProbeFile, append: Append) -> None:
    append("p", "x\n" * (2 * MAX_DAMAGES))
    assert steps(file) == ["!"] * MAX_DAMAGES


def test_one_read_is_bounded(file: ProbeFile, append: Append) -> None:
    append("p", *({"step": f"s{i}"} for i in range(50_000)))
    batch = file.read(1)
    assert batch.more
    assert 0 < len(batch.readings) < CHUNK // 10
    assert len(steps(file)) == 50_000 - len(batch.readings)


def test_a_file_that_was_cut_is_read_from_its_beginning(file: ProbeFile, append: Append) -> None:
    append("p", {"step": "a"}, {"step": "b"})
    assert steps(file) == ["a", "b"]
    Path(file.path).write_text('{"step": "c"}\n')
    batch = file.read(1)
    assert [fields[2] for fields, _, _ in batch.readings] == ["c"]
    assert "cut from" in batch.damages[0][1]


def test_a_deleted_file_is_told_once(file: ProbeFile) -> None:
    Path(file.path).unlink()
    assert "deleted" in file.read(1).damages[0][1]
    assert file.read(1).damages == []


def bounds(file: ProbeFile) -> list[tuple[int, int | None]]:
    return [(fields[T_NS], fields[LOW_NS]) for fields, _, _ in file.read(1).readings]


def test_a_line_without_time_has_two_bounds(file: ProbeFile, append: Append) -> None:
    before_ns = time.monotonic_ns()
    append("p", {"step": "a"})
    ((t_ns, low_ns),) = bounds(file)
    assert before_ns <= t_ns <= time.monotonic_ns()
    assert low_ns == 5  # the start of the process


def test_the_lower_bound_is_the_line_before(file: ProbeFile, append: Append) -> None:
    append("p", {"step": "a", "t_ns": 1000}, {"step": "b"}, {"step": "c"})
    exact, second, third = bounds(file)
    assert exact == (1000, None)
    assert second[1] == third[1] == 1000


def test_the_lower_bound_is_when_the_file_had_nothing_more(file: ProbeFile, append: Append) -> None:
    append("p", {"step": "a"})
    ((first_ns, _),) = bounds(file)
    before_ns = time.monotonic_ns()
    assert bounds(file) == []
    append("p", {"step": "b"})
    ((t_ns, low_ns),) = bounds(file)
    assert low_ns is not None
    assert first_ns <= before_ns <= low_ns <= t_ns


def test_half_a_line_was_begun_before_the_file_had_nothing_more(
    file: ProbeFile, append: Append
) -> None:
    append("p", '{"step": ')
    assert bounds(file) == []
    append("p", '"a"}\n')
    assert bounds(file)[0][1] == 5


def test_times_of_another_clock_bound_nothing(file: ProbeFile, append: Append) -> None:
    append("p", {"step": "a", "t_ns": 1000, "domain": "edge"}, {"step": "b"})
    assert bounds(file)[1][1] == 5


def test_a_time_from_the_future_bounds_nothing_later_than_now(
    file: ProbeFile, append: Append
) -> None:
    append("p", {"step": "a", "t_ns": 1 << 62}, {"step": "b"})
    t_ns, low_ns = bounds(file)[1]
    assert low_ns is not None
    assert low_ns <= t_ns


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    lines=st.lists(st.sampled_from([b"x", b"", b'{"step":"a"}', b'{"step":"b"}\r'])),
    cuts=st.lists(st.integers(0, 200)),
)
def test_however_it_arrives_the_same_is_read(
    tmp_path: Path, lines: list[bytes], cuts: list[int]
) -> None:
    text = b"".join(line + b"\n" for line in lines)
    path = tmp_path / "arrives"
    path.write_bytes(b"")
    file = ProbeFile(str(path), "unit", domain="clock")
    found: list[Any] = []
    position = 0
    for cut in [*sorted(cuts), len(text)]:
        with path.open("ab") as out:
            out.write(text[position:cut])
        position = max(position, min(cut, len(text)))
        found += steps(file)
    file.close()
    told = (line for line in lines if line)
    assert sorted(found) == sorted("!" if line == b"x" else line[9:10].decode() for line in told)


# What is done to a file besides appending to it ---------------------------------------------------


def _removed(path: Path) -> None:
    path.unlink()


def _renamed(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def _replaced(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def _cut(path: Path) -> None:
    os.truncate(path, 5)


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _written_over(path: Path) -> None:
    path.write_bytes(b'{"step":"c"}\n{"step":"d"}\n{"step":"e"}\n')


def _written_over_at_one_length(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"b", b"x"))


def _written_over_by_the_same(path: Path) -> None:
    data = path.read_bytes()
    later = path.stat().st_mtime_ns + 10**9
    path.write_bytes(data)
    os.utime(path, ns=(later, later))


@pytest.mark.parametrize(
    "done",
    [
        *(_removed, _renamed, _replaced, _cut, _emptied, _written_over),
        *(_written_over_at_one_length, _written_over_by_the_same),
    ],
)
@pytest.mark.parametrize("rests", [False, True])
def test_evidence_that_was_swapped_is_a_damage(
    file: ProbeFile, append: Append, tmp_path: Path, done: Callable[[Path], None], rests: bool
) -> None:
    """Also where nothing was appended since, and where the file was closed meanwhile."""
    append("p", {"step": "a"}, {"step": "b"})
    assert steps(file) == ["a", "b"]
    assert file.read_end() == []
    if rests:
        file.close()
    done(tmp_path / "p")
    damages = [] if rests else file.read(1).damages  # it woke the recorder, or not
    damages += file.read_end()
    ((unit, reason, *_),) = damages
    assert unit == "unit"
    assert "probe file" in reason
    assert file.read_end() == []  # told once


def test_an_appended_line_is_not_damage(file: ProbeFile, append: Append) -> None:
    for number in range(300):
        append("p", {"step": f"s{number}"})
        assert steps(file) == [f"s{number}"]
        assert file.read_end() == []
