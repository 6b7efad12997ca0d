"""Sentences of the rules as tables: hops and keys, order, gaps, explanations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testrium.results import Judgement

UNITS = "unit a;unit b;unit c;a:up;b:up;c:up"
ROUTE = f"{UNITS};circuit a:s b:r c:t"

TABLE = {
    # which hop an event belongs to
    "a loop: the first hop that is wrong, and the one behind it": (
        f"{UNITS};circuit a:ping b:pong a:ping;a:ping> k",
        "fail;lost b:pong k;lost a:ping k < lost b:pong",
    ),
    "a loop with a count: one way to assign the events is enough": (
        f"{UNITS};circuit a:ask{{1,2}} b:answer a:ask;a:ask> k;b:answer< k;a:ask> k",
        "pass",
    ),
    "a loop with a count: the other way": (
        f"{UNITS};circuit a:ask{{1,2}} b:answer a:ask;a:ask> k;a:ask> k;b:answer< k;a:ask> k",
        "pass",
    ),
    "a loop: a later event may still belong to the first hop": (
        f"{UNITS};circuit a:x{{1,2}} b:y a:x c:z;a:x k;b:y k;a:x k;c:z k;a:x k",
        "pass",
    ),
    "a loop: no way to assign them": (
        f"{UNITS};circuit a:ping b:pong a:ping;a:ping> k;a:ping> k;b:pong< k",
        "fail;order a:ping k",
    ),
    "a loop in which only a hop beside it was lost": (
        f"{UNITS};circuit a:ask{{1,2}} b:answer a:ask c:done;a:ask> k;b:answer< k;a:ask> k",
        "fail;lost c:done k",
    ),
    "a hop with a star gets what no other hop names": (
        f"{UNITS};circuit a:s b:* b:r;a:s> k;b:x k;b:r< k",
        "pass",
    ),
    "a hop with a star wants no event without a key": (
        f"{UNITS};circuit a:s b:*+;b:ready;a:s> k;b:r< k",
        "pass",
    ),
    "in a circuit of the whole run it does": (
        "unit a;unit b;circuit a:s b:* per=run;a:s;b:x",
        "pass",
    ),
    # keys that are joined
    "a cause beside the route joins": (
        f"{UNITS};circuit a:s b:r;a:s> o;c:split k cause=o;b:r< k",
        "pass",
    ),
    "never, of a key that is joined": (
        f"{UNITS};circuit a:s b:r never=b:rollback;a:s> o;b:r< o;b:rollback p cause=o",
        "fail;forbidden b:rollback p",
    ),
    "misrouted, of a key that is joined": (
        f"{UNITS};circuit a:s b:r;a:s> o;b:r< o;c:split p cause=o;c:x< p",
        "fail;misrouted c:x p",
    ),
    "same, on an event beside the route": (
        f"{UNITS};circuit a:s b:r same=n;a:s> k meta.n=1;b:r< k meta.n=1;c:x k meta.n=2",
        "fail;mismatch c:x k",
    ),
    "same, of a key that is joined": (
        f"{UNITS};circuit a:s b:r same=n;a:s> k meta.n=1;b:r< k;c:x j cause=k meta.n=2",
        "fail;mismatch c:x j",
    ),
    # order and causality
    "a Send too few is order": (
        f"{UNITS};circuit a:s{{2}} b:r{{2}};a:s> k;b:r< k;a:s> k;b:r< k",
        "fail;order b:r k",
    ),
    "no Send earlier and one later is causality": (
        f"{UNITS};circuit a:s b:r;b:r< k;a:s> k",
        "fail;causality b:r k",
    ),
    "a Send with a clock of its own may have been earlier": (
        f"{UNITS};b:r< k @1;a:s> k @9;c:s> k @99 domain=x",
        "pass",
    ),
    "without a circuit all that was received too early counts": (
        f"{UNITS};b:r< k @1;c:r< k @2;a:s> k @9",
        "fail;causality b:r k;causality c:r k",
    ),
    "numbers of one process tell the order of one instant": (
        (
            f"{UNITS};circuit a:s b:r fifo=true;"
            "a:s> 1 @1 pid=5 seq=1;a:s> 2 @1 pid=5 seq=2;b:r< 2 @5;b:r< 1 @6"
        ),
        "fail;reorder b:r 2",
    ),
    "equal numbers tell no order": (
        f"{UNITS};circuit a:s b:r;a:s> k @1 pid=5 seq=1 owner=a;b:r< k @2 pid=5 seq=1 owner=a",
        "unknown;gap a",
    ),
    # number of instances
    "what is left over from an earlier run is no instance": (
        f"{UNITS};circuit a:s b:r keys=1;b:r< old;a:s> k;b:r< k;earlier old",
        "fail;stale b:r old",
    ),
    "a wrong number of instances is an entry of its own": (
        f"{UNITS};circuit a:s b:r keys=1;a:s> 1;b:r< 1;a:s> 2;a:s> 2;b:r< 2",
        "fail;duplicate a:s 2;duplicate a:s 2",
    ),
    # one explanation, one entry
    "losses at two hops": (
        f"{ROUTE};a:s> k0 k1 k2;b:r k0",
        "fail;lost b:r k1,k2;lost c:t k1,k2 < lost b:r;lost c:t k0",
    ),
    "a duplicate explains those behind it": (
        f"{UNITS};circuit a:s b:r;a:s> k;b:r< k;a:s> k;b:r< k",
        "fail;duplicate a:s k;duplicate b:r k < duplicate a:s",
    ),
    "not those of other keys": (
        f"{UNITS};circuit a:s b:r;a:s> k k j;b:r< k j j",
        "fail;duplicate a:s k;duplicate b:r j",
    ),
    "a leak comes behind what happened to keys": (
        f"{UNITS};circuit a:s b:r;a:s> k;b:r< k;b:r< k;end c leaks=7",
        "fail;duplicate b:r k;leak c",
    ),
    # ends
    "an end does not explain a key that the unit had gone past": (
        f"{UNITS};circuit a:s b:r;a:s> 1 2 3 4;b:r< 1 3;end b exit=1",
        "fail;crash b;lost b:r 4 < crash b;lost b:r 2",
    ),
    "another unit's handling does not count": (
        f"{UNITS};circuit a:s b:r|c:r;a:s> 1 2;c:r< 2;end b exit=1",
        "fail;crash b;lost b:r|c:r 1 < crash b",
    ),
    "an exception after which its process emitted again is no end": (
        f"{UNITS};circuit a:s b:r;b:KeyError! meta.uncaught=thread;a:s> 1 2;b:r< 2",
        "fail;exception b:KeyError;lost b:r 1",
    ),
    "a crash explains what a peer raised shortly before": (
        (
            "unit a;unit b dependencies=a;a:up;b:up;b:OSError! @100 meta.uncaught=main;"
            "end b exit=1 at=101;end a exit=1 at=590"
        ),
        "fail;crash a;exception b:OSError < crash a",
    ),
    "not what it raised long before": (
        (
            "unit a;unit b dependencies=a;a:up;b:up;b:OSError! @100 meta.uncaught=main;"
            "end b exit=1 at=101;end a exit=1 at=610"
        ),
        "fail;exception b:OSError;crash a < exception b:OSError",
    ),
    "a peer that waits for a key last seen there": (
        (
            f"{UNITS};circuit a:s b:r;a:s> k;b:OSError! @100 meta.uncaught=main;"
            "end b exit=1 at=101;end a exit=1 at=400"
        ),
        "fail;crash a;exception b:OSError < crash a;lost b:r k < exception b:OSError",
    ),
    "no peer": (
        (
            "unit a;unit b;a:up;b:up;b:OSError! @100 meta.uncaught=main;"
            "end b exit=1 at=101;end a exit=1 at=400"
        ),
        "fail;exception b:OSError;crash a < exception b:OSError",
    ),
    "a unit outside of the route hangs beside one behind the loss": (
        f"{ROUTE};unit d;d:up;a:s> k;end c cause=overdue;end d cause=overdue",
        "fail;lost b:r k;hang c < lost b:r;hang d < hang c;lost c:t k < hang c",
    ),
    "a unit that had to be killed, and may": (
        "unit a;unit b stop=runner;a:up;b:up;end b cause=stopped signal=SIGKILL",
        "pass",
    ),
    "a unit that ends badly when it is told to stop": (
        "unit a;unit b stop=runner;a:up;b:up;end b cause=stopped exit=1",
        "fail;crash b",
    ),
    "by its stop signal, as a shell says it": (
        "unit a;unit b stop=runner;a:up;b:up;end b cause=stopped exit=143",
        "pass",
    ),
    "by another signal": (
        "unit a;unit b stop=runner;a:up;b:up;end b cause=stopped signal=SIGSEGV",
        "fail;crash b",
    ),
    # gaps
    "a gap explains what its process tells of other units": (
        (
            f"{UNITS};circuit a:s b:r;a:s> 1 pid=9 seq=1 owner=c;b:r< 1 pid=9 seq=2 owner=c;"
            "a:s> 2 pid=9 seq=3 owner=c;b:up pid=9 seq=5 owner=c"
        ),
        "unknown;gap c;lost b:r 2 < gap c",
    ),
    "a gap hides no more probes than it has numbers": (
        f"{UNITS};circuit a:s b:r;a:s> 1 2;b:x pid=9 seq=1;b:x pid=9 seq=3",
        "fail;lost b:r 1,2;gap b",
    ),
    "a gap does not hide two hops of one key in one number": (
        f"{UNITS};circuit a:s b:r b:t;a:s> 1;b:x pid=9 seq=1;b:x pid=9 seq=3",
        "fail;lost b:r 1;lost b:t 1 < lost b:r;gap b",
    ),
    "a number given twice hides nothing": (
        f"{UNITS};circuit a:s b:r;a:s> 1;b:x pid=9 seq=1;b:x pid=9 seq=1",
        "fail;lost b:r 1;gap b",
    ),
    "two gaps share what is missing": (
        (
            f"{UNITS};circuit a:s b:r;b:r< 1 pid=2 seq=1;a:s> 2 pid=1 seq=2;b:r< 2 pid=2 seq=2;"
            "a:s> 3 pid=1 seq=3;a:s> 4 pid=1 seq=4;b:r< 4 pid=2 seq=4"
        ),
        "unknown;gap b;lost b:r 3 < gap b;gap a;phantom b:r 1 < gap a",
    ),
    "two gaps hide no more than both together": (
        (
            f"{UNITS};circuit a:s b:r;b:r< 1 pid=2 seq=1;a:s> 2 pid=1 seq=2;b:r< 2 pid=2 seq=2;"
            "a:s> 3 5 pid=1;a:s> 4 pid=1 seq=3;b:r< 4 pid=2 seq=4"
        ),
        "fail;lost b:r 3,5;gap a;phantom b:r 1 < gap a;gap b",
    ),
    "an effect without cause follows from a gap at its own place where no other is": (
        f"{UNITS};circuit a:s b:r;a:s> 2;b:r< 1 pid=2 seq=1;b:r< 2 pid=2 seq=3",
        "unknown;gap b;phantom b:r 1 < gap b",
    ),
    "a gap of another process": (
        f"{UNITS};circuit a:s b:r;a:s> 1;c:x pid=9 seq=1;c:x pid=9 seq=3",
        "fail;lost b:r 1;gap c",
    ),
    # time
    "a stage is late as soon as one of its hops certainly is": (
        f"{UNITS};circuit a:s b:r&c:t within=5;a:s> k @1;b:r< k @9;c:t k @2 domain=x",
        "fail;late b:r k",
    ),
    "else the clock of the other one is unknown": (
        f"{UNITS};circuit a:s b:r&c:t within=5;a:s> k @1;b:r< k @3;c:t k @2 domain=x",
        "unknown;clock c:t k",
    ),
    # faults
    "a fault that was never reached: not because of a loss behind it": (
        f"{ROUTE};fault b:r do=kill on=2;a:s> k;b:r k",
        "fail;vacuous kill at b:r;lost c:t k",
    ),
    # fifo
    "fifo with an effect without cause": (
        f"{UNITS};circuit a:s b:r fifo=true;b:r< x;a:s> 1 2;b:r< 2 1",
        "fail;phantom b:r x;reorder b:r 2",
    ),
    "fifo with an optional first stage": (
        f"{UNITS};circuit a:s? b:r c:t fifo=true;a:s> 1;b:r 1 2;c:t 2 1",
        "fail;reorder c:t 2",
    ),
    "fifo with a first stage of two hops": (
        f"{UNITS};circuit a:s&a:v b:r fifo=true;a:s> 1;a:v 1;a:v 2;a:s> 2;b:r< 2 1",
        "fail;reorder b:r 2",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_rule(case: str, findings_of: Callable[[str], str]) -> None:
    text, expected = TABLE[case]
    assert findings_of(text.replace(";", "\n")) == expected.replace(";", "\n")


def test_a_circuit_answers_for_what_is_told_for_another_one(
    judged: Callable[[str], Judgement],
) -> None:
    text = f"{UNITS};circuit a:s b:r;circuit a:s c:t;a:s> k;b:r< k;c:t k;c:x< k"
    judgement = judged(text.replace(";", "\n"))
    assert [finding.code for finding in judgement.findings] == ["misrouted"]
    assert [circuit.verdict for circuit in judgement.circuits] == ["fail", "fail"]


def test_each_entry_speaks_of_its_own_keys(judged: Callable[[str], Judgement]) -> None:
    findings = judged(f"{ROUTE};a:s> k0 k1;b:r k0".replace(";", "\n")).findings
    assert [finding.message for finding in findings] == [
        "k1 never reached b:r; last seen at a:s",
        "k1 never reached c:t; last seen at a:s",
        "k0 never reached c:t; last seen at b:r",
    ]


def test_the_second_ping_of_a_loop_has_words_of_its_own(
    judged: Callable[[str], Judgement],
) -> None:
    text = f"{UNITS};circuit a:ping b:pong a:ping;a:ping> k"
    findings = judged(text.replace(";", "\n")).findings
    assert [finding.message for finding in findings] == [
        "k never reached b:pong; last seen at a:ping",
        "k never came back to a:ping; last seen at a:ping",
    ]
