from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from testrium.evidence import Event, Finding
from testrium.report import group_text, wording
from testrium.report.charts.key_paths import path_of
from testrium.report.lines import ASCII, symbols_for
from testrium.report.view import view_group
from testrium.results import GroupResult, Judgement
from testrium.words import Code, Verdict


def block(result: GroupResult, cwd: Path, width: int | None = None) -> list[str]:
    lines = group_text.group_block(view_group(result, cwd=cwd), symbols_for("utf-8"), width=width)
    return [line.text for line in lines]


def with_findings(result: GroupResult, *findings: Finding) -> GroupResult:
    return result._replace(judgement=Judgement(Verdict.FAIL, findings))


def test_the_root_cause_comes_first(lost: GroupResult, cwd: Path) -> None:
    texts = block(lost, cwd)

    assert texts[0] == "FAIL checkout  0.31 s  An order is paid"
    assert texts[1] == "  lost at host:received  (circuit command)"
    assert texts[-2] == "  rerun  testrium run groups/checkout"


def test_many_causes_are_counted(lost: GroupResult, cwd: Path) -> None:
    many = [Finding(Code.LATE, f"a:{number}", "slow") for number in range(12)]
    texts = block(with_findings(lost, *many), cwd)

    assert sum(text.startswith("  also late at a:") for text in texts) == group_text.MOST_FURTHER
    assert "  and 3 further findings: see summary.json" in texts


def test_a_further_cause_folds_what_follows_from_it(lost: GroupResult, cwd: Path) -> None:
    texts = block(
        with_findings(
            lost,
            Finding(Code.CRASH, "db", "died"),
            Finding(Code.LATE, "a:b", "slow"),
            Finding(Code.BUDGET, "c", "over", explained_by="late a:b"),
        ),
        cwd,
    )
    index = texts.index("  also late at a:b: slow")

    assert texts[index + 1] == "    1 more follows from it: budget c"


def test_keys_are_shown_where_the_story_has_several(lost: GroupResult, cwd: Path) -> None:
    events = {number: lost.witnesses[12]._replace(id=number, key=f"k{number}") for number in (1, 2)}
    finding = Finding(Code.REORDER, "host:received", "overtook", events=(1, 2))
    texts = block(with_findings(lost, finding)._replace(witnesses=events), cwd)

    assert "    0.000 ms  client  sent  k1  Send  pid 4716" in texts
    assert "    0.000 ms  client  sent  k2  Send  pid 4716" in texts


def test_a_time_that_is_only_a_bound_says_so(lost: GroupResult, cwd: Path) -> None:
    event = lost.witnesses[31]
    witnesses = {**lost.witnesses, 31: event._replace(t_low_ns=event.t_ns - 1000)}
    texts = block(lost._replace(witnesses=witnesses), cwd)

    assert "    <= 1.250 ms  broker  queued    Default  pid 4716" in texts


def test_the_end_of_a_unit_is_told_once(crashed: GroupResult, cwd: Path) -> None:
    said = Finding(Code.CRASH, "worker", "worker ended by SIGSEGV, after 2 starts", unit="worker")
    texts = block(with_findings(crashed, said), cwd)

    assert texts[2] == "  worker ended by SIGSEGV, after 2 starts  (pid 4716, 0.25 s in)"
    assert sum("SIGSEGV" in text for text in texts) == 1


def test_a_long_message_is_cut(lost: GroupResult, cwd: Path) -> None:
    texts = block(with_findings(lost, Finding(Code.LATE, "a:b", "x" * 5000)), cwd)

    assert max(map(len, texts)) < 700
    assert texts[2].endswith("x…")


def test_an_outcome_in_a_few_words(
    lost: GroupResult, passed: GroupResult, skipped: GroupResult, expected_failure: GroupResult
) -> None:
    assert wording.outcome(lost) == "lost at host:received (3 keys)"
    assert wording.outcome(passed) == ""
    assert wording.outcome(skipped) == "skipped: chromium is not on PATH"
    assert wording.outcome(expected_failure) == "failed as expected: loses every tenth order"
    assert wording.outcome(lost._replace(judgement=Judgement(Verdict.FAIL), reason="why")) == "why"


def test_signs_are_those_that_can_be_written() -> None:
    assert symbols_for("utf-8").verdicts[Verdict.PASS] == "✓"
    assert symbols_for("latin-1") is ASCII
    assert symbols_for("no-such-encoding") is ASCII


def test_who_was_ready_before_the_group_began(passed: GroupResult, cwd: Path) -> None:
    assert passed.started_ns is not None
    early = passed.ends[0]._replace(ready_ns=passed.started_ns - 4_000_000)
    view = view_group(passed._replace(ends=(early,)), cwd=cwd)
    texts = [
        line.text for line in group_text.group_block(view, symbols_for("utf-8"), detailed=True)
    ]
    row = next(text for text in texts if text.startswith(f"    {early.unit} "))
    assert row.split()[2] == "before"


def event(number: int, place: str, ms: float, key: str | None = "k1", **fields: Any) -> Event:
    unit, _, step = place.partition(":")
    made = Event(
        id=number,
        unit=unit,
        step=step,
        type="Default",
        key=key,
        cause=(),
        t_ns=9_000_000_000 + round(ms * 1e6),
        t_low_ns=None,
        wall_ns=0,
        domain="here",
        pid=100,
        seq=None,
        start=1,
        attempt=1,
        owner=unit,
        meta={},
    )
    return made._replace(**fields)


def told_events(events: Sequence[Event], width: int | None = None) -> list[str]:
    return [
        line.text
        for line in group_text.event_lines("title", events, symbols_for("utf-8"), width=width)
    ]


def test_events_come_in_the_order_of_time_each_with_the_gap_before_it() -> None:
    events = [
        event(1, "host:got", 1.25, meta={"rows": 3, "traceback": "long"}),
        event(2, "client:sent", 0, type="Send"),
    ]
    assert told_events(events) == [
        "title  2 events",
        "  0.000 ms             client  sent  Send     pid 100",
        "  1.250 ms  +1.250 ms  host    got   Default  pid 100  rows=3",
    ]


def test_keys_and_causes_are_shown_where_they_differ() -> None:
    events = [event(1, "a:s", 0, "k1"), event(2, "a:t", 1, "k2", cause=("k1",))]
    assert told_events(events)[1:] == [
        "  0.000 ms             a  s  k1  Default  pid 100",
        "  1.000 ms  +1.000 ms  a  t  k2  Default  pid 100  cause k1",
    ]


def test_times_of_reading_and_of_other_clocks_are_told_apart() -> None:
    events = [
        event(1, "a:s", 0),
        event(2, "a:t", 1, t_low_ns=9_000_000_000, pid=0),
        event(3, "b:u", 0.5, domain="there"),
    ]
    assert [line.strip() for line in told_events(events)[1:]] == [
        "0.000 ms             a  s  Default  pid 100",
        "other clock             b  u  Default  pid 100",
        "<= 1.000 ms  +1.000 ms  a  t  Default",
    ]


def test_a_new_attempt_begins_with_a_line() -> None:
    events = [event(1, "a:s", 0), event(2, "a:s", 5, attempt=2)]
    assert told_events(events)[2] == "  the circuit was started again (attempt 2)"


def test_what_does_not_fit_is_left_out() -> None:
    assert told_events([event(1, "client:sent", 0)], width=30)[1] == "  0.000 ms    client  sent"


def test_text_of_units_moves_no_cursor() -> None:
    [_, row] = told_events([event(1, "a:s", 0, meta={"x\x1b[2J": "\u202e"})])
    assert r"x\x1b[2J" in row
    assert "\x1b" not in row
    assert "\u202e" not in row


def test_without_events_there_are_no_lines() -> None:
    assert told_events([]) == ["title  0 events"]


def test_the_path_of_a_key_continues_under_the_keys_that_it_caused() -> None:
    events = [
        event(1, "a:sent", 0, "k1"),
        event(2, "a:sent", 0, "k2"),
        event(3, "b:replied", 1, "r1", cause=("k1",)),
        event(4, "a:matched", 2, "r1"),
        event(5, "c:logged", 3, None, cause=("r1",)),
        event(6, "c:idle", 4, None),
    ]
    assert [found.id for found in path_of("k1", events)] == [1, 3, 4, 5]
    assert path_of("r1", events) == path_of("k1", events)
    assert [found.id for found in path_of("k2", events)] == [2]
    assert path_of("k3", events) == ()


def test_an_event_that_only_names_the_key_as_its_cause_is_on_its_way() -> None:
    events = [event(1, "c:logged", 3, None, cause=("k1",))]
    assert path_of("k1", events) == tuple(events)
