"""Required probes, orphans and damaged evidence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testrium.results import Judgement

TWO = "unit a;unit b;a:up;b:up"

TABLE = {
    # orphans = "forbid" is the default where no circuit is declared
    "a pair": (f"{TWO};a:s> k;b:r< k", "pass"),
    "a broadcast": (f"{TWO};a:s> k;b:r< k;a:r< k", "pass"),
    "one key through several hops": (f"{TWO};a:s> k;b:r< k;b:s> k;a:r< k", "pass"),
    "a Send without Receive": (f"{TWO};a:s> k1 k2;b:r< k1", "fail;lost a:s k2"),
    "a Receive without Send": (f"{TWO};a:s> k1;b:r< k1 k2", "fail;phantom b:r k2"),
    "a Receive of an earlier run is asked nothing more": (
        f"{TWO};earlier k2;a:s> k1;b:r< k1 k2 k2",
        "fail;stale b:r k2",
    ),
    "a Receive of an earlier run": (
        f"{TWO};earlier k2;a:s> k1;b:r< k1 k2",
        "fail;stale b:r k2",
    ),
    "sent twice": (f"{TWO};a:s> k k;b:r< k", "fail;duplicate a:s k"),
    "received twice": (f"{TWO};a:s> k;b:r< k k", "fail;duplicate b:r k"),
    "received before it was sent": (f"{TWO};b:r< k;a:s> k", "fail;causality b:r k"),
    "other types have no partner": (f"{TWO};a:s k", "pass"),
    "allowed": (f"{TWO};rule orphans=allow;a:s> k1;b:r< k2", "pass"),
    "forbidden beside a circuit": (
        f"{TWO};rule orphans=forbid;circuit a:s b:r;a:s> k;b:r< k;a:x> j",
        "fail;lost a:x j",
    ),
    "allowed beside a circuit": (f"{TWO};circuit a:s b:r;a:s> k;b:r< k;a:x> j", "pass"),
    # gaps
    "a hole in the numbers": ("unit a;a:up seq=1;a:up seq=3", "unknown;gap a"),
    "a hole at the beginning": ("unit a;a:up seq=2", "unknown;gap a"),
    "a hole beside a repetition": ("unit a;a:up seq=1;a:up seq=1;a:up seq=3", "unknown;gap a"),
    "numbers in any order": ("unit a;a:up seq=2;a:up seq=1", "pass"),
    "each process has its numbers": ("unit a;a:up seq=1 pid=1;a:up seq=1 pid=2", "pass"),
    "each start has its numbers": ("unit a;a:up seq=1;a:up seq=1 start=2;end a starts=2", "pass"),
    "numbers go on over units": ("unit a;unit b;a:up seq=1;b:up seq=2 owner=a pid=197", "pass"),
    "numbers that began in an earlier attempt": (
        "unit a;evidence attempt=2;a:up seq=1;a:up seq=2 attempt=2;end a attempt=2",
        "pass",
    ),
    "a hole in an earlier attempt": (
        (
            "unit a;evidence attempt=2;a:up seq=3;a:up start=2 seq=1 attempt=2;"
            "end a attempt=2 starts=2"
        ),
        "pass",
    ),
    "an unreadable line": ("unit a;a:up;damage a no JSON", "unknown;gap a"),
    "a line and a hole are one finding": (
        "unit a;a:up seq=2;damage a no JSON",
        "unknown;gap a",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_rule(case: str, findings_of: Callable[[str], str]) -> None:
    text = TABLE[case][0]
    assert findings_of(text.replace(";", "\n")) == TABLE[case][1].replace(";", "\n")


def test_what_a_missing_probe_says(judged: Callable[[str], Judgement]) -> None:
    (finding,) = judged("unit a ready\nunit b\na:raedy\nb:ready").findings
    assert finding.message == "a never emitted ready"
    assert finding.hints == (
        "a did emit raedy: is ready misspelled?",
        "b emitted ready",
        "the last probe of a was raedy",
    )


def test_what_a_gap_says(judged: Callable[[str], Judgement]) -> None:
    (finding,) = judged("unit a\na:up seq=2 pid=7\na:up seq=5 pid=7\ndamage a no JSON").findings
    assert finding.message == (
        "3 probes of a never arrived and 1 line of the probe file of a cannot be read"
    )
    assert finding.hints[:2] == (
        "process 7 numbered its probes up to 5, and number 1 (and 2 more) is missing",
        "no JSON: {oops",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:s> k1 k2\nb:r< k1", "k2 was sent at a:s and never received"),
        ("a:s> k1 k2 k3\nb:r< k1", "k2 and k3 were sent at a:s and never received"),
        ("b:r< k1", "k1 was received at b:r and never sent"),
        ("earlier k1\nb:r< k1", "k1 was received at b:r, left over from an earlier run"),
        ("a:s> k1\nb:r< k1 k1", "k1 occurred more than once at b:r"),
        ("b:r< k1\na:s> k1", "k1 was received at b:r 1 ms before it was sent at a:s"),
    ],
)
def test_what_an_orphan_says(text: str, message: str, judged: Callable[[str], Judgement]) -> None:
    (finding,) = judged(f"unit a process=none\nunit b process=none\n{text}").findings
    assert finding.message == message
