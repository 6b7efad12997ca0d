"""Planned faults: what they explain, and what one that never happened comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from testrium.words import Code

if TYPE_CHECKING:
    from testrium.results import Judgement

RAISED = "fault b:r do=raise;struck raise at b:r;b:InjectedFault!"
GROUP = "unit a;unit b;circuit a:s b:r keys=1..;a:s> k1;b:r< k1"

CASES = {
    "it has happened": (f"{GROUP};fault b:r do=kill;struck kill at b:r", "pass"),
    "it has never happened": (f"{GROUP};fault b:r do=kill on=2", "fail;vacuous kill at b:r"),
    "two, of which one has happened": (
        f"{GROUP};fault b:r do=kill;fault b:r do=hang on=2;struck kill at b:r",
        "fail;vacuous hang at b:r",
    ),
    "a planned end is a finding that says so": (
        f"{GROUP};fault b:r do=kill;struck kill at b:r;end b signal=SIGKILL fault=kill",
        "fail;crash b < fault kill",
    ),
    "a planned end explains what the unit owed": (
        "unit a;unit b;circuit a:s b:r keys=2;a:s> k1 k2;b:r< k1;end b signal=SIGKILL fault=kill",
        "fail;crash b < fault kill;lost b:r k2 < crash b",
    ),
    "raised in a thread": (
        f"{GROUP};{RAISED} meta.uncaught=thread meta.message=raise_at_b:r",
        "fail;exception b:InjectedFault < fault raise at b:r",
    ),
    "raised, caught and reported": (
        f"{GROUP};{RAISED} meta.message=raise_at_b:r",
        "fail;exception b:InjectedFault < fault raise at b:r",
    ),
    "raised, caught, reported and allowed": (
        f"{GROUP};{RAISED};rule allow=b:InjectedFault",
        "pass",
    ),
    "never reached because a unit had ended": (
        f"{GROUP};fault b:x do=kill;end a exit=1",
        "fail;crash a;vacuous kill at b:x < crash a",
    ),
    "never reached because what it needs was lost": (
        "unit a;unit b;a:s> k1 k2;b:r< k1;circuit a:s b:r;fault b:r do=kill on=2",
        "fail;lost b:r k2;vacuous kill at b:r < lost b:r",
    ),
    "a loss behind it explains nothing": (
        "unit a;unit b;a:s> k1;b:x;circuit a:s b:r;fault a:s do=kill on=2",
        "fail;vacuous kill at a:s;lost b:r k1",
    ),
    "never reached because a required probe is missing": (
        f"unit c r;c:x;{GROUP};fault c:r do=kill",
        "fail;missing c:r;vacuous kill at c:r < missing c:r",
    ),
    "what its unit emitted is not known": (
        f"{GROUP};damage b no JSON;fault b:r do=kill on=2",
        "unknown;gap b;vacuous kill at b:r < gap b",
    ),
    "the user has ended the group": (
        f"{GROUP};fault b:r do=kill on=2;evidence infra=full",
        "error;infra group;vacuous kill at b:r < infra group",
    ),
}


@pytest.mark.parametrize(("case", "expected"), CASES.values(), ids=CASES.keys())
def test_judgement(findings_of: Callable[[str], str], case: str, expected: str) -> None:
    assert findings_of(case.replace(";", "\n")) == expected.replace(";", "\n")


@pytest.mark.parametrize(
    ("case", "hint"),
    [
        ("fault b:r do=kill on=2", "b:r was emitted once, and on = 2"),
        ("fault b:r do=kill on=2 key=k1", "b:r was emitted once with the key k1, and on = 2"),
        ("fault b:r do=kill key=k9", "b:r was never emitted with the key k9"),
        (
            "b:recieved;fault b:received do=kill",
            "b:received was never emitted; b did emit recieved: is received misspelled?",
        ),
        ("fault b:zzz do=kill", "b:zzz was never emitted"),
        (
            "b:t owner=tests;fault b:t do=kill",
            "b:t was emitted by tests, and a fault cannot kill or pause that unit",
        ),
        ("fault b:r do=kill", "the process of b ended before the fault could act"),
        (
            "b:t owner=b.http;fault b:t do=kill",
            (
                "b:t is a message that b.http carried: a fault acts only at probes that a unit"
                " emits itself, or that are lines of its log"
            ),
        ),
        (
            "fault b:r do=raise",
            "a fault acts only at probes of Testrium's library, and b:r was emitted another way",
        ),
    ],
)
def test_why_it_never_happened(judged: Callable[[str], Judgement], case: str, hint: str) -> None:
    judgement = judged(f"{GROUP};{case}".replace(";", "\n"))
    (finding,) = judgement.findings
    assert finding.code is Code.VACUOUS
    assert finding.hints == (hint,)
    assert finding.unit == "b"


@pytest.mark.parametrize(
    ("in_except", "hint"),
    [
        ("Stop", 'planned by [[faults]]: kill; with in-except = "Stop" it is not started again'),
        ("Reload", "planned by [[faults]]: kill"),
    ],
)
def test_a_planned_end_says_what_came_of_it(
    judged: Callable[[str], Judgement], in_except: str, hint: str
) -> None:
    case = f"unit a in_except={in_except}\na:up\nend a signal=SIGKILL fault=kill"
    assert judged(case).findings[0].hints[-1] == hint
