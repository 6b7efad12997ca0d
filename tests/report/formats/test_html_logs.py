from __future__ import annotations

from pathlib import Path

from testrium.evidence import Event, LogPiece, OutputMark, StoredLog
from testrium.report.charts.logs import (
    HEAD,
    MOST_FOUND,
    TAIL,
    WINDOW,
    LogLine,
    found_lines,
    log_window,
    merged_lines,
    unit_logs,
)

START_NS = 10**12


def at(ms: float) -> int:
    return START_NS + round(ms * 1e6)


def log(data: bytes, stream: str = "stdout") -> StoredLog:
    return StoredLog("a", stream, len(data), (LogPiece(0, data),))


def event(ms: float, step: str, key: str | None = None) -> Event:
    return Event(
        *(1, "a", step, "Default", key, (), at(ms), None, 0, "here", 1, None, 1, 1, "a", {"n": 1})
    )


def lines(*logs: StoredLog, marks: list[OutputMark], events: list[Event]) -> tuple[LogLine, ...]:
    (view,) = unit_logs(["a", "silent"], logs, marks, events, START_NS)
    assert view.unit == "a"
    return view.lines


def test_probes_stand_between_the_lines() -> None:
    marks = [OutputMark("a", at(10), 4, 0), OutputMark("a", at(30), 8, 5)]
    found = lines(
        log(b"one\ntwo\nend"), log(b"oops\n", "stderr"), marks=marks, events=[event(20, "s", "k1")]
    )
    assert found == (
        LogLine("stdout", 0.01, True, "one"),
        LogLine("probe", 0.02, False, "s k1  n=1"),
        LogLine("stdout", 0.03, True, "two"),
        LogLine("stderr", 0.03, True, "oops"),
        LogLine("stdout", None, True, "end"),
    )
    assert [line.time for line in found] == ["≤ 0.010 s", "0.020 s", "≤ 0.030 s", "≤ 0.030 s", ""]


def test_units_are_merged_in_the_order_of_time() -> None:
    logs = (log(b"one\nlast"), StoredLog("b", "stdout", 4, (LogPiece(0, b"two\n"),)))
    marks = [OutputMark("a", at(10), 4, 0), OutputMark("b", at(20), 4, 0)]
    views = unit_logs(["a", "b"], logs, marks, [event(15, "s")], START_NS)
    found = [(line.unit, line.text) for line in merged_lines(views)]
    assert found == [("a", "one"), ("a", "s  n=1"), ("b", "two"), ("a", "last")]


def test_terminal_codes_are_only_text() -> None:
    (line,) = lines(log(b"\x1b[31mred\x07\xff\n"), marks=[], events=[])
    assert line.text == r"\x1b[31mred\x07\xff"


def test_of_a_long_log_the_middle_is_left_out() -> None:
    data = b"".join(b"line %d\n" % number for number in range(HEAD + TAIL + 7))
    found = lines(log(data), marks=[], events=[])
    assert len(found) == HEAD + TAIL + 1
    assert found[HEAD] == LogLine("skipped", None, True, "7 lines left out")
    assert found[-1].text == f"line {HEAD + TAIL + 6}"


def test_what_is_left_out_counts_what_was_not_read() -> None:
    half = b"line\n" * 100
    pieces = (LogPiece(0, half), LogPiece(3_000_500, half))
    log_of_a = StoredLog("a", "stdout", 3_001_000, pieces)
    (whole,) = unit_logs(["a"], [log(b"one\n")], [], [], None)
    (view,) = unit_logs(["a"], [log_of_a], [], [], None, most=60)
    assert whole.left_out == ""
    assert view.left_out == "3.0 MB of stdout and 140 lines"
    assert view.lines[10].text == "3.0 MB of stdout and 140 lines left out"


def test_a_log_is_read_part_by_part(tmp_path: Path) -> None:
    file = tmp_path / "stdout.log"
    file.write_bytes(b"".join(b"line %06d password\n" % number for number in range(40_000)))
    size = file.stat().st_size
    seen: list[str] = []
    at = 0
    while at < size:
        part = log_window(file, at, lambda text: text.replace("password", "***"))
        assert (part.begin, part.size) == (at, size)
        assert part.end - part.begin <= WINDOW + 30
        seen += [text for _, text in part.lines]
        at = part.end
    assert seen == [f"line {number:06} ***" for number in range(40_000)]
    middle = log_window(file, 12)  # within the first line
    assert middle.lines[0] == (21, "line 000001 password")
    assert log_window(file, 10 * size).lines == ()


def test_a_log_is_searched_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "stdout.log"
    file.write_bytes(b"one\nTwo secret\n" * 300 + b"x" * 200_000)
    count, found = found_lines(file, "tWO", lambda text: text.replace("secret", "***"))
    assert (count, len(found), found[0]) == (300, MOST_FOUND, (4, "Two ***"))
    assert found_lines(file, "secret", lambda text: text.replace("secret", "***")) == (0, ())
    assert found_lines(file, "xxx")[0] == 1  # in a line of 200 kB


def test_what_was_not_read_of_a_log_is_told() -> None:
    pieces = (LogPiece(0, b"first\n"), LogPiece(2_000_006, b"last\n"))
    (first, gap, last) = lines(StoredLog("a", "stdout", 2_000_011, pieces), marks=[], events=[])
    assert (first.text, gap.text, last.text) == ("first", "2.0 MB of stdout left out", "last")
