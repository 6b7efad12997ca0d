from __future__ import annotations

from pathlib import Path

from testrium.evidence import Finding
from testrium.report import group_text, wording
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
