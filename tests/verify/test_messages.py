"""What the findings of circuits say, word for word."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from testrium.results import Judgement
from testrium.verify.judge import judge
from testrium.verify.messages import MOST_EVENTS

if TYPE_CHECKING:
    from tests.verify.conftest import Table

UNITS = "unit a process=none;unit b process=none;unit c process=none"

#: run: message of the first finding, then its hints
TABLE = {
    "circuit a:snet b:r;a:sent> k": [
        "no event matched any hop of the route a:snet -> b:r: nothing was proved",
        "a:sent happened once: is snet misspelled?",
    ],
    "circuit a:x b:r&c:r": [
        "no event matched any hop of the route a:x -> [b:r, c:r]: nothing was proved",
    ],
    "circuit a:s b:recieved;a:s> k;b:received k": [
        "k never reached b:recieved; last seen at a:s",
        "k also occurred at b:received, outside of this route",
        "b:received happened once: is recieved misspelled?",
    ],
    "circuit a:s b:r;a:s> k1 k2 k3 k4;b:r< k2": [
        "k1 and 2 more never reached b:r; last seen at a:s",
        "1 of 4 keys got there",
    ],
    "circuit a:s b:r{3};a:s> k;b:r< k": [
        "k reached b:r once, 3 are required; last seen at b:r",
    ],
    "circuit a:s b:r per=run;a:s": ["the run never reached b:r; last seen at a:s"],
    "circuit a:s keys=3;a:s> k": ["1 of 3 instances of this circuit began at a:s"],
    "circuit a:s keys=1;a:s> k j": ["2 instead of 1 instances of this circuit began at a:s"],
    "circuit a:s b:r;a:s> k;b:r< k x": ["x reached b:r without a:s"],
    "circuit a:s b:r;earlier x;a:s> k;b:r< k x": [
        "x reached b:r without a:s in this run: the key is left over from an earlier run",
    ],
    "circuit a:s b:r;a:s> k;b:r< k pid=7;b:r< k pid=7;b:r< k pid=8": [
        "k reached b:r 3 times, once is allowed",
        "twice in process 7, once in process 8",
        "the first of 2 too many came 1 ms after the first of all",
    ],
    "circuit a:s b:r+;a:s> k;b:r< k;c:r< k": [
        "k was received at c:r, which is not on the route",
    ],
    "circuit a:s b:received;a:s> k;b:recieved< k": [
        "k was received at b:recieved, which is not on the route",
        "the route has b:received: is one of the two misspelled?",
    ],
    "circuit a:s|b:s c:r+;a:s> k;b:s> k;c:r< k": [
        "a and b both sent k",
        "a key names one instance: begin its text with the unit (a-1, b-1)",
    ],
    "circuit a:s b:r?;a:s> k;b:r;b:r": [
        "b:r happened twice without a key: it cannot be assigned to an instance",
        'give the probe its key, or declare the circuit with per = "run"',
    ],
    "circuit a:s b:r c:r;a:s> k;c:r< k": [
        "k never reached b:r; last seen at a:s",
        "c:r was reached without it: is the probe 'r' missing in b?",
    ],
    "circuit a:s b:r c:r;a:s> 1 2;c:r< 1 2": [
        "1 and 2 never reached b:r; last seen at a:s",
        "0 of 2 keys got there",
        "c:r was reached without it: is the probe 'r' missing in b?",
    ],
    "circuit a:s b:r|b:t c:q? c:r;a:s> 1 2 3;c:r< 1;b:r< 3;c:r< 3": [
        "1 and 2 never reached b:r|b:t; last seen at a:s",
        "1 of 3 keys got there",
        "c:r was reached without it by 1 of 2 keys: is its probe missing?",
    ],
    "circuit a:s b:r a:t b:r c:r;a:s> k;b:r< k;a:t> k;c:r< k": [
        "k never came back to b:r; last seen at a:t",
    ],
    "circuit a:s b:r a:s c:r;a:s> k k": ["k never reached b:r; last seen at a:s"],
    "circuit a:s b:r;a:s> k;b:r< k;b:r< k start=2": [
        "k reached b:r twice, once is allowed",
        "twice in process 198",
        "the one too many came 1 ms after the first",
        "a redelivery after a restart is usual: b:r+ allows it",
    ],
    "circuit a:s keys=2;a:s> k j i": ["3 instead of 2 instances of this circuit began at a:s"],
    "circuit a:s b:r c:r within=5;a:s> k @0;b:r< k @4;c:r< k @7": [
        "k took 7 ms to c:r, 2 ms over the limit of 5 ms",
        "4 ms of it between a:s and b:r",
    ],
    "circuit a:s b:q? b:r{2} c:r within=5;a:s> k @0;b:r< k @1;b:r< k @3;c:r< k @9": [
        "k took 9 ms to c:r, 4 ms over the limit of 5 ms",
        "6 ms of it between b:r and c:r",
    ],
    "circuit a:s b:r c:r within=5;a:s> k @0;b:r< k @4 domain=x;c:r< k @7": [
        "k took 7 ms to c:r, 2 ms over the limit of 5 ms",
    ],
    "circuit a:s never=b:x;a:s> k;b:x k;b:x": ["b:x happened twice for k, which must never happen"],
    "circuit a:s b:r same=n;a:s> k meta.n=1;b:r< k meta.n=2": [
        "n of k is '2' at b:r, and '1' at a:s",
    ],
    "circuit a:s b:r;b:r< k j;a:s> k j": [
        "k (and 1 more) was received 2 ms before it was sent at a:s",
    ],
    "circuit a:s a:t;a:t k @5 seq=1 pid=7;a:s k @5 seq=2 pid=7": [
        "a:t happened before a:s for k, and should come after it",
        "probe 1 and probe 2 of process 7",
    ],
    "circuit a:s b:r fifo=true;a:s> 1 2;b:r< 2 1": [
        "2 overtook 1 at b:r: sent after it, arrived 1 ms before it",
    ],
    "circuit a:s b:r within=5;a:s> 1 @0;b:r< 1 @7;a:s> 2 @10;b:r< 2 @30;a:s> 3 @40;b:r< 3 @41": [
        "1 (and 1 more) took 7 ms to b:r, 2 ms over the limit of 5 ms",
        "late: 2 of 3 keys",
        "slowest: 2 20 ms, 1 7 ms",
    ],
    "circuit a:s b:r within=5 per=run;a:s @0;b:r @7": [
        "the run took 7 ms to b:r, 2 ms over the limit of 5 ms",
    ],
    "circuit a:s b:r p50=5;a:s> 1 @0;b:r< 1 @7;a:s> 2 @10;b:r< 2 @30": [
        "p50 is 7 ms, over its budget of 5 ms",
        "over the budget: 2 of 2 keys",
        "slowest: 2 20 ms, 1 7 ms",
    ],
    "circuit a:s b:r p95=5 p99=5;a:s> 1;b:r< 1": [
        "p95 needs 20 keys and p99 needs 100 keys, this run has 1",
        "send more keys, or limit every single one with `within`",
    ],
    "circuit a:s b:r within=5;a:s> k;b:r< k domain=x": [
        (
            "the clocks cannot decide whether k was in time at b:r:"
            " it and a:s have two clocks with unknown offset"
        ),
        "b:r: clock x",
        "a:s: clock here",
        "measure both ends on one host, or declare no time limit across hosts",
    ],
    "circuit a:s b:r within=5;a:s> k @0;b:r< k @9 low=1": [
        (
            "the clocks cannot decide whether k was in time at b:r:"
            " b:r has only the time at which its line was read"
        ),
        "it may have happened up to 8 ms earlier",
        "emit t_ns (CLOCK_MONOTONIC) with the probe, or use `testrium probe`",
    ],
}


@pytest.mark.parametrize("text", TABLE)
def test_words(text: str, judged: Callable[[str], Judgement]) -> None:
    finding = judged(f"{UNITS};{text}".replace(";", "\n")).findings[0]
    assert [finding.message, *finding.hints] == TABLE[text]


def test_a_long_story_is_told_by_its_ends(judged: Callable[[str], Judgement]) -> None:
    keys = " k" * (2 * MOST_EVENTS)
    text = f"{UNITS};circuit a:s b:r;a:s> k;b:r<{keys}".replace(";", "\n")
    (finding,) = judged(text).findings
    assert len(finding.events) == MOST_EVENTS
    assert (finding.events[0], finding.events[-1]) == (1, 2 * MOST_EVENTS + 1)


#: run: the code of a finding, its message, and its hints
LATER = {
    "circuit a:s b:t c:r keys=2;a:s> 1 2;b:t< x-1 x-2;c:r< x-1 x-2": {
        "duplicate": [
            (
                "4 instead of 2 instances of this circuit: 2 began at a:s,"
                " 2 are known from later hops only"
            ),
            "do both processes use the same key? a: 1, b: x-1",
        ],
        "phantom": [
            "x-1 (and 1 more) reached b:t without a:s",
            "do both processes use the same key? a: 1, b: x-1",
        ],
    },
    # Keys that have nothing in common, where none goes all the way; one process has both.
    "circuit a:s b:t b:r keys=2;a:s> 1 2;b:t< 1 2;b:r< x y": {
        "phantom": [
            "x (and 1 more) reached b:r without a:s",
            "do both hops use the same key? b:t: 1, b:r: x",
        ],
    },
    # Some keys go all the way, and the texts of the others differ: two mistakes.
    "circuit a:s b:r keys=2;a:s> 1 2;b:r< 1 x": {
        "duplicate": [
            (
                "3 instead of 2 instances of this circuit: 2 began at a:s,"
                " 1 is known from later hops only"
            ),
        ],
        "phantom": ["x reached b:r without a:s"],
    },
    # Three times as many are stuck.
    "circuit a:s b:r;a:s> 1 2 3;b:r< x-1": {"phantom": ["x-1 reached b:r without a:s"]},
    "circuit a:s b:r keys=3;a:s> 1;b:r< 1 x": {
        "lost": [
            "2 of 3 instances of this circuit: 1 began at a:s, 1 is known from later hops only",
        ],
    },
    # Left over from an earlier run: not of this one.
    "circuit a:s b:r keys=1;earlier x;a:s> 1 2;b:r< 1 2 x": {
        "duplicate": ["2 instead of 1 instances of this circuit began at a:s"],
    },
}


@pytest.mark.parametrize("text", LATER)
def test_words_of_keys_that_differ_between_processes(
    text: str, judged: Callable[[str], Judgement]
) -> None:
    told = {
        str(finding.code): [finding.message, *finding.hints]
        for finding in judged(f"{UNITS};{text}".replace(";", "\n")).findings
    }
    assert {code: told[code] for code in LATER[text]} == LATER[text]


@pytest.mark.parametrize(
    ("do", "unit", "hinted"),
    [("kill", "b", True), ("restart", "b", True), ("delay", "b", False), ("kill", "a", False)],
)
def test_duplicate_after_a_planned_end_names_the_count_that_allows_it(
    do: str, unit: str, hinted: bool, table: Callable[[str], Table]
) -> None:
    case = table(f"{UNITS};circuit a:s b:r|c:r;a:s> k;b:r< k;c:r< k".replace(";", "\n"))
    evidence = case.evidence()
    struck = evidence.events[1]._replace(id=9, meta={"do": do, "unit": unit})
    finding = judge(case.scenario(), evidence._replace(faults=(struck,))).findings[0]
    hint = "a redelivery after a restart is usual: b:r|c:r+ allows it"
    assert finding.code == "duplicate"
    assert (hint in finding.hints) is hinted


SERVICE = 'if b is a service, write stop = "runner" in units/b.toml'


@pytest.mark.parametrize(
    ("units", "rest", "hinted"),
    [
        ("unit b", "b:r< k;end b cause=overdue", True),
        ("unit b", "b:r< k;end b cause=timeout", True),
        ("unit b", "end b cause=overdue", False),  # its key is lost
        ("unit b done", "b:r< k;end b cause=overdue", False),  # its event is missing
        ("unit b", "b:r< k;end b cause=overdue fault=hang", False),
        ("unit b stop=runner", "b:r< k;end b cause=timeout", False),
        ("unit b;unit c dependencies=b", "b:r< k;c:x;end b cause=overdue", False),
    ],
)
def test_hang_of_a_unit_that_has_done_all_names_the_key_of_a_service(
    units: str, rest: str, hinted: bool, judged: Callable[[str], Judgement]
) -> None:
    text = f"unit a process=none;{units};circuit a:s b:r;a:s> k;{rest}"
    findings = judged(text.replace(";", "\n")).findings
    hang = next(finding for finding in findings if finding.code == "hang")
    assert (SERVICE in hang.hints) is hinted


def test_hang_of_a_unit_whose_events_are_in_names_its_file(
    judged: Callable[[str], Judgement],
) -> None:
    (hang,) = judged("unit b done\nb:done\nend b cause=overdue").findings
    assert 'with stop = "runner" in units/b.toml' in hang.message
    assert hang.hints == ("its last probe was done",)


def test_hang_without_any_expectation_is_not_taken_for_a_service(
    judged: Callable[[str], Judgement],
) -> None:
    (hang,) = judged("unit b\nb:began\nend b cause=overdue").findings
    assert hang.hints == ("its last probe was began",)
