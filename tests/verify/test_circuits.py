"""Every rule of a circuit, as a table: a run, and all findings that it must have.

`;` separates the lines of a run (see conftest) and those of its judgement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from testrium.results import Judgement
from testrium.verify.judge import judge

UNITS = """
unit a process=none
unit b process=none
unit c process=none
"""

TABLE = {
    # counts
    "none is lost": ("circuit a:s b:r;a:s> k", "fail;lost b:r k"),
    "fewer than required is lost": ("circuit a:s b:r{2};a:s> k;b:r< k", "fail;lost b:r k"),
    "exactly n": ("circuit a:s b:r{2};a:s> k;b:r< k k", "pass"),
    "more than n": ("circuit a:s b:r{2};a:s> k;b:r< k k k", "fail;duplicate b:r k"),
    "{n,} has no upper bound": ("circuit a:s b:r{2,};a:s> k;b:r< k k k k", "pass"),
    "? allows none": ("circuit a:s b:r?;a:s> k", "pass"),
    "? allows one": ("circuit a:s b:r?;a:s> k;b:r< k", "pass"),
    "? allows no two": ("circuit a:s b:r?;a:s> k;b:r< k k", "fail;duplicate b:r k"),
    "* allows none": ("circuit a:s b:r*;a:s> k", "pass"),
    "* allows many": ("circuit a:s b:r*;a:s> k;b:r< k k k", "pass"),
    "+ needs one": ("circuit a:s b:r+;a:s> k", "fail;lost b:r k"),
    "keys of one place are one finding": (
        "circuit a:s b:r;a:s> k1 k2 k3;b:r< k2",
        "fail;lost b:r k1,k3",
    ),
    "the losses behind follow the first": (
        "circuit a:s b:r c:t;a:s> k",
        "fail;lost b:r k;lost c:t k < lost b:r",
    ),
    # alternatives, stars, places that occur twice
    "alternatives": ("circuit a:s b:r|c:r;a:s> k1 k2;b:r< k1;c:r< k2", "pass"),
    "alternatives are one hop": (
        "circuit a:s b:r|c:r;a:s> k;b:r< k;c:r< k",
        "fail;duplicate b:r|c:r k",
    ),
    "any unit": ("circuit a:s *:r;a:s> k;c:r< k", "pass"),
    "any step": ("circuit a:s b:*+;a:s> k;b:x k;b:y k", "pass"),
    "a named hop goes before a star": (
        "circuit a:s b:* b:last;a:s> k;b:first k;b:last k",
        "pass",
    ),
    "a route may pass one place twice": (
        "circuit a:s b:r a:s b:r;a:s> k;b:r< k;a:s> k;b:r< k",
        "pass",
    ),
    "a route that passes one place twice, once too often": (
        "circuit a:s b:r a:s;a:s> k;b:r< k;a:s> k;a:s> k",
        "fail;duplicate a:s k",
    ),
    # instances
    "as many as expected": ("circuit a:s keys=2;a:s> k1 k2", "pass"),
    "fewer instances are lost at the first hop": (
        "circuit a:s b:r keys=3;a:s> k1 k2;b:r< k1 k2",
        "fail;lost a:s",
    ),
    "more instances are duplicates of the first hop": (
        "circuit a:s keys=1..2;a:s> k1 k2 k3",
        "fail;duplicate a:s k3",
    ),
    "an orphan is an instance too": (
        "circuit a:s b:r keys=1;a:s> k1;b:r< k1;b:r< k2",
        "fail;phantom b:r k2;duplicate a:s k2",
    ),
    "nothing matched": ("circuit a:s b:r", "fail;vacuous command"),
    "nothing matched, and may": ("circuit a:s b:r keys=0..", "pass"),
    "a cause joins keys": ("circuit a:s b:r;a:s> k1;b:r< k2 cause=k1", "pass"),
    "causes join over several steps": (
        "circuit a:s b:r c:t;a:s> k1;b:r< k2 cause=k1;c:t k3 cause=k2",
        "pass",
    ),
    "joined keys bear the name of the earliest": (
        "circuit a:s b:r c:t;a:s> k1;b:r< k2 cause=k1",
        "fail;lost c:t k1",
    ),
    "an event without a key counts for its cause, but is wrong": (
        "circuit a:s b:r;a:s> k1;b:r cause=k1",
        "fail;unkeyed b:r",
    ),
    "a batch of causes is one instance": (
        "circuit a:s+ b:r keys=1;a:s> k1 k2;b:r< k3 cause=k1,k2",
        "pass",
    ),
    "an event without a key": ("circuit a:s b:r?;a:s> k;b:r", "fail;unkeyed b:r"),
    "instances with unkeyed events cannot be counted": (
        "circuit a:s keys=2;a:s> k;a:s",
        "fail;unkeyed a:s",
    ),
    # per run
    "per run, keys are ignored": ("circuit a:s b:r per=run;a:s k1;b:r k2", "pass"),
    "per run, nothing is misrouted": ("circuit a:s b:r per=run;a:s k1;b:r k2;c:x< k1", "pass"),
    "per run, lost": ("circuit a:s b:r per=run;a:s", "fail;lost b:r"),
    "per run, twice": ("circuit a:s b:r per=run;a:s;b:r;b:r", "fail;duplicate b:r"),
    "per run, losses behind follow": (
        "circuit a:s b:r c:t per=run;a:s",
        "fail;lost b:r;lost c:t < lost b:r",
    ),
    # orphans
    "an effect without its cause": ("circuit a:s b:r;a:s> k;b:r< k x", "fail;phantom b:r x"),
    "an effect of an earlier run": (
        "earlier x;circuit a:s b:r;a:s> k;b:r< k x",
        "fail;stale b:r x",
    ),
    "what is left over is asked nothing more": (
        "earlier x;circuit a:s b:r c:t same=n;a:s> k;b:r< k;c:t k;b:r< x x meta.n=1;c:t x meta.n=2",
        "fail;stale b:r x",
    ),
    "an effect whose cause is of an earlier run by its causes": (
        "earlier x;circuit a:s b:r;a:s> k;b:r< k;b:r< y cause=x",
        "fail;stale b:r y",
    ),
    "per run, nothing is left over": (
        "earlier x;circuit a:s b:r per=run;b:r< x",
        "fail;phantom b:r",
    ),
    "a key of an earlier run with its cause": (
        "earlier k;circuit a:s b:r;a:s> k;b:r< k",
        "pass",
    ),
    "what happens before the cause is no cause if it is optional": (
        "circuit a:s? b:r c:t;a:s> k;b:r< k;c:t k;b:r< j;c:t j",
        "pass",
    ),
    "without its required cause": (
        "circuit a:s? b:r c:t;b:r< k;c:t k j",
        "fail;phantom c:t j",
    ),
    "where nothing is required there is no phantom": ("circuit a:s? b:r?;b:r< k", "pass"),
    # routes
    "received outside the route": (
        "circuit a:s b:r;a:s> k;b:r< k;c:r< k",
        "fail;misrouted c:r k",
    ),
    "sent outside the route": ("circuit a:s b:r;a:s> k;b:r< k;c:x> k", "fail;misrouted c:x k"),
    "other types may occur anywhere": ("circuit a:s b:r;a:s> k;b:r< k;c:x k", "pass"),
    "other keys may occur anywhere": ("circuit a:s b:r;a:s> k;b:r< k;c:x< j", "pass"),
    "open": ("circuit a:s b:r open=true;a:s> k;b:r< k;c:x< k", "pass"),
    "claimed by another circuit": (
        "circuit a:s b:r;circuit a:s c:r name=copy;a:s> k;b:r< k;c:r< k",
        "pass",
    ),
    "claimed by a never of another circuit": (
        "circuit a:s b:r;circuit b:x per=run never=c:r keys=0.. name=copy;a:s> k;b:r< k;c:r< j",
        "fail;forbidden c:r",
    ),
    "misrouted once, for the first circuit": (
        "circuit a:s b:r;circuit a:s b:r name=same;a:s> k;b:r< k;c:r< k",
        "fail;misrouted c:r k",
    ),
    "a joined key is a key of the circuit": (
        "circuit a:s b:r;a:s> k1;b:r< k2 cause=k1;c:x< k2",
        "fail;misrouted c:x k2",
    ),
    "misrouted explains the loss": (
        "circuit a:s b:r;a:s> k;c:r< k",
        "fail;misrouted c:r k;lost b:r k < misrouted c:r",
    ),
    # never
    "never without a key": ("circuit a:s never=c:x;a:s> k;c:x", "fail;forbidden c:x"),
    "never with a key of the circuit": (
        "circuit a:s never=c:x;a:s> k;c:x k",
        "fail;forbidden c:x k",
    ),
    "never with the key of somebody else": ("circuit a:s never=c:x;a:s> k;c:x j", "pass"),
    "never with any key, per run": (
        "circuit a:s per=run never=c:x;a:s;c:x j",
        "fail;forbidden c:x",
    ),
    "never any step": ("circuit a:s never=c:*;a:s> k;c:y k", "fail;forbidden c:y k"),
    # senders
    "two units send one key": (
        "circuit a:s|b:s c:r+;a:s> k;b:s> k;c:r< k",
        "fail;collision a:s|b:s k;duplicate a:s|b:s k < collision a:s|b:s",
    ),
    "two units send one key where that is allowed": (
        "circuit a:s|b:s+ c:r+;a:s> k;b:s> k;c:r< k",
        "fail;collision a:s|b:s k",
    ),
    "one unit sends twice": (
        "circuit a:s|b:s c:r+;a:s> k k;c:r< k",
        "fail;duplicate a:s|b:s k",
    ),
    "answers of several units are no collision": (
        "circuit a:s b:t|c:t{2};a:s> k;b:t> k;c:t> k",
        "pass",
    ),
    "different keys of one batch are no collision": (
        "circuit a:s|b:s+ c:r;a:s> k1;b:s> k2;c:r< k3 cause=k1,k2",
        "pass",
    ),
    # same
    "equal": ("circuit a:s b:r same=n;a:s> k meta.n=1;b:r< k meta.n=1", "pass"),
    "a later one differs": (
        "circuit a:s b:r c:t same=n;a:s> k meta.n=1;b:r< k meta.n=1;c:t k meta.n=2",
        "fail;mismatch c:t k",
    ),
    "only those that have it": (
        "circuit a:s b:r c:t same=n;a:s> k;b:r< k meta.n=1;c:t k meta.n=2",
        "fail;mismatch c:t k",
    ),
    "not equal for another key": (
        "circuit a:s b:r same=n;a:s> k meta.n=1;b:r< k meta.n=1;a:s> j meta.n=2;b:r< j meta.n=2",
        "pass",
    ),
    # order
    "a stage before the one it follows": (
        "circuit a:s b:r c:t;a:s> k;c:t k;b:r< k",
        "fail;order c:t k",
    ),
    "received before it was sent": ("circuit a:s b:r;b:r< k;a:s> k", "fail;causality b:r k"),
    "a tie is no disorder": ("circuit a:s b:r;b:r< k @5;a:s> k @5", "pass"),
    "in one process the numbers count": (
        "circuit a:s a:t;a:t k @5 seq=1;a:s k @5 seq=2",
        "fail;order a:t k",
    ),
    "numbers of two starts do not": (
        "circuit a:s a:t;a:s k @5 seq=2 start=1;a:t k @6 seq=1 start=2;a:x @7 seq=1 start=1",
        "pass",
    ),
    "in any order within a stage": ("circuit a:s b:r&c:r;a:s> k;c:r< k;b:r< k", "pass"),
    "after all of a stage": (
        "circuit a:s&b:s c:r;a:s k;c:r k;b:s k",
        "fail;order c:r k",
    ),
    "past an empty stage": ("circuit a:s b:r? c:t;c:t k;a:s k", "fail;order c:t k"),
    "every event of a stage": (
        "circuit a:s b:r{2};b:r< k;a:s> k;b:r< k",
        "fail;causality b:r k",
    ),
    "at least n of a hop that must happen n times": (
        "circuit a:s{2} b:r;a:s k;b:r k;a:s k",
        "fail;order b:r k",
    ),
    "one of a hop that may happen n times": (
        "circuit a:s+ b:r;a:s k;b:r k;a:s k",
        "pass",
    ),
    "missing ones are lost, not late": ("circuit a:s{2} b:r;a:s k;b:r k", "fail;lost a:s k"),
    # fifo
    "in order": ("circuit a:s b:r fifo=true;a:s> 1 2 3;b:r< 1 2 3", "pass"),
    "overtaken": ("circuit a:s b:r fifo=true;a:s> 1 2 3;b:r< 2 1 3", "fail;reorder b:r 2"),
    "overtaken without fifo": ("circuit a:s b:r;a:s> 1 2 3;b:r< 2 1 3", "pass"),
    "sent together": ("circuit a:s b:r fifo=true;a:s> 1 @1;a:s> 2 @1;b:r< 2 1", "pass"),
    "arrived together": ("circuit a:s b:r fifo=true;a:s> 1 2;b:r< 2 @9;b:r< 1 @9", "pass"),
    "arrived together, and numbered": (
        "circuit a:s b:r fifo=true;a:s> 1 2;b:r< 2 @9 seq=1;b:r< 1 @9 seq=2",
        "fail;reorder b:r 2",
    ),
    "blamed where it happened, not again behind": (
        "circuit a:s b:r c:t fifo=true;a:s> 1 2;b:r< 2 1;c:t 2 1",
        "fail;reorder b:r 2",
    ),
    "an orphan overtakes nobody": (
        "circuit a:s b:r c:t fifo=true;a:s> 1;b:r< 9;c:t 9;b:r< 1;c:t 1",
        "fail;phantom b:r 9",
    ),
    "two clocks say nothing about fifo": (
        "circuit a:s b:r|c:r fifo=true;a:s> 1 @1;a:s> 2 @2;b:r< 1 @3;c:r< 2 @4 domain=x",
        "pass",
    ),
    # times
    "in time": ("circuit a:s b:r within=5;a:s> k @0;b:r< k @5", "pass"),
    "too late": ("circuit a:s b:r within=5;a:s> k @0;b:r< k @6", "fail;late b:r k"),
    "from the first event of the first stage": (
        "circuit a:s+ b:r within=5;a:s> k @0;a:s> k @4;b:r< k @6",
        "fail;late b:r k",
    ),
    "to what completes the last required stage": (
        "circuit a:s b:r{2} c:t? within=5;a:s> k @0;b:r< k @1;b:r< k @6;c:t k @90",
        "fail;late b:r k",
    ),
    "what comes after completion does not count": (
        "circuit a:s b:r+ within=5;a:s> k @0;b:r< k @1;b:r< k @90",
        "pass",
    ),
    "the last of an unordered stage": (
        "circuit a:s b:r&c:r within=5;a:s> k @0;b:r< k @1;c:r< k @6",
        "fail;late c:r k",
    ),
    "unanswered is lost, not late": ("circuit a:s b:r within=5;a:s> k", "fail;lost b:r k"),
    "a time of reading may be too late": (
        "circuit a:s b:r within=5;a:s> k @0;b:r< k @9 low=1",
        "unknown;clock b:r k",
    ),
    "a time of reading is late even at best": (
        "circuit a:s b:r within=5;a:s> k @0;b:r< k @9 low=6",
        "fail;late b:r k",
    ),
    "a time of reading is in time even at worst": (
        "circuit a:s b:r within=5;a:s> k @0;b:r< k @4 low=0",
        "pass",
    ),
    "a time of reading does not decide order": (
        "circuit a:s b:r;a:s> k @5;b:r< k @9 low=1",
        "pass",
    ),
    "a time of reading may decide order": (
        "circuit a:s b:r;b:r< k @3 low=1;a:s> k @5",
        "fail;causality b:r k",
    ),
    "another clock says nothing about order": (
        "circuit a:s b:r;a:s> k @5;b:r< k @9 domain=x",
        "pass",
    ),
    "two events of that other clock do": (
        "circuit a:s b:r;a:s> k @5 domain=x;b:r< k @4 domain=x",
        "fail;causality b:r k",
    ),
    "two are too few for a p95": (
        "circuit a:s b:r p95=5;a:s> 1 2;b:r< 1 2",
        "unknown;samples command",
    ),
    "a median of two": ("circuit a:s b:r p50=5;a:s> 1 @0;b:r< 1 @5;a:s> 2 @9;b:r< 2 @99", "pass"),
    "a median over its budget": (
        "circuit a:s b:r p50=4;a:s> 1 @0;b:r< 1 @5;a:s> 2 @9;b:r< 2 @99",
        "fail;budget command 1,2",
    ),
    "unanswered keys are infinite": (
        "circuit a:s b:r p50=9;a:s> 1 2 3;b:r< 1",
        "fail;lost b:r 2,3;budget command 2,3 < lost b:r",
    ),
    "lost keys do not excuse slow ones": (
        "circuit a:s b:r p50=9;a:s> 1 2 @0;b:r< 1 @50",
        "fail;lost b:r 2;budget command 1,2",
    ),
    "a vague median": (
        "circuit a:s b:r p50=5;a:s> 1 @0;b:r< 1 @9 low=1;a:s> 2 @20;b:r< 2 @29 low=21",
        "unknown;clock b:r 1,2",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_rule(case: str, findings_of: Callable[[str], str]) -> None:
    text, expected = TABLE[case]
    assert findings_of(UNITS + text.replace(";", "\n")) == expected.replace(";", "\n")


@pytest.mark.parametrize(
    ("one", "other", "verdict"),
    [
        (1, 1, "pass"),
        (1, 1.0, "fail"),
        (1, True, "fail"),
        (0, False, "fail"),
        ([1], [1], "pass"),
        ([1], [True], "fail"),
        ([1], [1, 2], "fail"),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, "pass"),
        ({"a": {"b": 1}}, {"a": {"b": 1.0}}, "fail"),
        ({"a": 1}, {"b": 1}, "fail"),
        (1, 2, "fail"),
        (None, False, "fail"),
    ],
)
def test_same_compares_json_values_and_their_types(
    one: object, other: object, verdict: str, table: Callable[[str], Any]
) -> None:
    case = table(f"{UNITS}\ncircuit a:s b:r same=n\na:s> k\nb:r< k")
    sent, received = case.evidence().events
    events = (sent._replace(meta={"n": one}), received._replace(meta={"n": other}))
    assert judge(case.scenario(), case.evidence()._replace(events=events)).verdict == verdict


def test_a_never_event_of_a_strange_key_is_noted(judged: Callable[[str], Judgement]) -> None:
    judgement = judged(f"{UNITS}\ncircuit a:s never=c:x\na:s> k\nc:x j")
    assert [(note.code, note.where, note.keys) for note in judgement.notes] == [
        ("forbidden", "c:x", ("j",))
    ]


def test_results_of_circuits(judged: Callable[[str], Judgement]) -> None:
    judgement = judged(
        f"""{UNITS}
        circuit a:s b:r name=good
        circuit b:r c:t name=bad
        a:s> 1 @0
        b:r< 1 @3
        a:s> 2 @10
        b:r< 2 @14
        c:t 1 @20"""
    )
    good, bad = judgement.circuits
    assert (good.name, good.instances, good.verdict) == ("good", 2, "pass")
    assert (good.p50_ms, good.p95_ms, good.max_ms) == (3.0, None, 4.0)
    assert (bad.name, bad.instances, bad.verdict) == ("bad", 2, "fail")
    assert (bad.p50_ms, bad.max_ms) == (17.0, 17.0)


def test_no_metrics_where_none_are_wanted(judged: Callable[[str], Judgement]) -> None:
    text = "group gen_metrics=false\ncircuit a:s b:r\na:s> 1 2\nb:r< 1 2"
    (result,) = judged(UNITS + text).circuits
    assert (result.instances, result.p50_ms, result.max_ms) == (2, None, None)


def test_of_an_interval_the_report_shows_what_it_was_at_most(
    judged: Callable[[str], Judgement],
) -> None:
    (result,) = judged(f"{UNITS}\ncircuit a:s b:r\na:s> k\nb:r< k low=0").circuits
    assert result.max_ms == 1.0


def test_a_finding_tells_the_story_of_its_witness(judged: Callable[[str], Judgement]) -> None:
    finding = judged(
        f"""{UNITS}
        circuit a:s b:r c:t
        a:s> k1 k2
        b:r< k2
        b:r< k1
        a:x k2"""
    ).findings[0]
    assert (finding.key, finding.keys, finding.unit) == ("k2", ("k1", "k2"), "c")
    assert finding.events == (2, 3)
    assert finding.message == "k1 and k2 never reached c:t; last seen at b:r"
