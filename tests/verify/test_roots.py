"""What explains what, as tables. Each case would read differently without its rule."""

from __future__ import annotations

from collections.abc import Callable

import pytest

#: a sends, b receives and passes on, c stores; all three emit something.
THREE = "unit a;unit b;unit c;a:up;b:up;c:up"
ROUTE = f"{THREE};circuit a:s b:r c:t"

TABLE = {
    # the end of a unit
    "a crash: what the unit owed": (
        f"{ROUTE};a:s> k;end b exit=1",
        "fail;crash b;lost b:r k < crash b;lost c:t k < lost b:r",
    ),
    "a crash: not what another unit owed": (
        f"{ROUTE};a:s> k;b:r< k;end b exit=1",
        "fail;crash b;lost c:t k",
    ),
    "an exception: what the unit owed": (
        f"{ROUTE};a:s> k;b:r< k;c:KeyError! meta.uncaught=thread",
        "fail;exception c:KeyError;lost c:t k < exception c:KeyError",
    ),
    "unready: a circuit through it": (
        f"{ROUTE};end b cause=unready",
        "fail;unready b;vacuous command < unready b",
    ),
    "an end elsewhere: the circuit is vacuous of itself": (
        f"{ROUTE};unit d;d:up;end d exit=1",
        "fail;crash d;vacuous command",
    ),
    "hang: a required probe": (
        "unit a done;a:up;end a cause=overdue",
        "fail;hang a;missing a:done < hang a",
    ),
    "another unit's required probe is its own matter": (
        "unit a done;unit b;a:up;b:up;end b exit=1",
        "fail;crash b;missing a:done",
    ),
    "a stop_event too": (
        "unit a stop_events=done;a:up;end a exit=1",
        "fail;crash a;missing a:done < crash a",
    ),
    "notrun: what the unit owed, and those that waited for it": (
        (
            "unit a;unit b ready;unit c;a:up;end a exit=1;end b cause=notrun by=a;"
            "end c cause=notrun by=b"
        ),
        "fail;crash a;notrun b < crash a;notrun c < notrun b;missing b:ready < notrun b",
    ),
    "of two ends the earlier one": (
        "unit a;unit b;a:up;b:up;end a exit=1 at=90;end b exit=1 at=50",
        "fail;crash b;crash a < crash b",
    ),
    "of a crash and an unready unit the earlier one": (
        "unit a;unit b;a:up;b:up;end a exit=1 at=90;end b cause=unready at=50",
        "fail;unready b;crash a < unready b",
    ),
    "hangs in init order": (
        "unit b init=2;unit a init=1;a:up;b:up;end a cause=overdue at=90;end b cause=overdue at=50",
        "fail;hang a;hang b < hang a",
    ),
    "a unit whose turn never came: the hang, however long it took to stop it": (
        "unit a;unit b;a:up;b:up;end b cause=notrun at=50;end a cause=overdue at=90",
        "fail;hang a;notrun b < hang a",
    ),
    "a crash long before the deadline explains the hang": (
        "unit a;unit b;a:up;b:up;end a cause=overdue at=90;end b exit=1 at=50",
        "fail;crash b;hang a < crash b",
    ),
    "two reported exceptions are two roots": (
        "unit a;unit b;a:KeyError!;b:OSError!",
        "fail;exception a:KeyError;exception b:OSError",
    ),
    "an exception before a death elsewhere": (
        "unit a;unit b;a:KeyError! meta.uncaught=thread;b:OSError! meta.uncaught=main;end b exit=1",
        "fail;exception a:KeyError;exception b:OSError < exception a:KeyError",
    ),
    "what an abandoned unit owed": (
        "unit a;unit b done;a:up;b:up;end a exit=1;end b cause=abandoned",
        "fail;crash a;missing b:done < crash a",
    ),
    # a loss
    "a loss: the hang of a unit behind it": (
        f"{ROUTE};a:s> k;end c cause=overdue",
        "fail;lost b:r k;hang c < lost b:r;lost c:t k < hang c",
    ),
    "a loss: not the hang of a unit before it": (
        f"{ROUTE};a:s> k;b:r< k;end a cause=overdue",
        "fail;hang a;lost c:t k",
    ),
    "a loss: not the hang of its own unit": (
        f"{THREE};circuit a:s b:r b:t;a:s> k;end b cause=overdue",
        "fail;hang b;lost b:r k < hang b;lost b:t k < hang b",
    ),
    "a hang, the loss it caused, and the hang behind it": (
        f"{ROUTE};a:s> k;end b cause=overdue;end c cause=overdue",
        "fail;hang b;lost b:r k < hang b;hang c < lost b:r;lost c:t k < hang c",
    ),
    "the route decides between hangs, not init": (
        (
            "unit c;unit b;unit a;a:up;b:up;c:up;circuit a:s b:r c:t;a:s> k;"
            "end b cause=overdue;end c cause=overdue"
        ),
        "fail;hang b;lost b:r k < hang b;hang c < lost b:r;lost c:t k < hang c",
    ),
    "a loss: those behind it for the same key only": (
        f"{ROUTE};a:s> k j;b:r< j",
        "fail;lost b:r k;lost c:t k < lost b:r;lost c:t j",
    ),
    "a loss: the missing probe of the same place": (
        "unit a;unit b r;a:up;b:up;circuit a:s b:r;a:s> k",
        "fail;lost b:r k;missing b:r < lost b:r",
    ),
    "a loss: not the missing probe of another place": (
        "unit a;unit b x;a:up;b:up;circuit a:s b:r;a:s> k",
        "fail;lost b:r k;missing b:x",
    ),
    # misrouted, collision
    "misrouted: the loss of all the same keys": (
        f"{THREE};circuit a:s b:r;a:s> k j;c:x< k j",
        "fail;misrouted c:x k,j;lost b:r k,j < misrouted c:x",
    ),
    "misrouted: not the loss of other keys": (
        f"{THREE};circuit a:s b:r;a:s> k j;c:x< k",
        "fail;misrouted c:x k;lost b:r k < misrouted c:x;lost b:r j",
    ),
    "misrouted to two places": (
        f"{THREE};circuit a:s b:r;a:s> k j;c:x< k;c:y< j",
        (
            "fail;misrouted c:x k;lost b:r k < misrouted c:x;"
            "misrouted c:y j;lost b:r j < misrouted c:y"
        ),
    ),
    "collision: the duplicates of the key": (
        f"{THREE};circuit a:s|b:s c:r;a:s> k;b:s> k;c:r< k k",
        (
            "fail;collision a:s|b:s k;duplicate a:s|b:s k < collision a:s|b:s;"
            "duplicate c:r k < collision a:s|b:s"
        ),
    ),
    "collision: no duplicates of other keys": (
        f"{THREE};circuit a:s|b:s c:r+;a:s> k;b:s> k;c:r< k;a:s> j j;c:r< j",
        "fail;collision a:s|b:s k;duplicate a:s|b:s k < collision a:s|b:s;duplicate a:s|b:s j",
    ),
    # a gap
    "a gap: what the unit owed is unknown": (
        f"{ROUTE};a:s> k;damage b no JSON",
        "unknown;gap b;lost b:r k < gap b;lost c:t k < lost b:r",
    ),
    "a gap: not what another unit owed": (
        f"{ROUTE};a:s> k;b:r< k;damage b no JSON",
        "fail;lost c:t k;gap b",
    ),
    "a gap: a required probe": (
        "unit a done;a:up;damage a no JSON",
        "unknown;gap a;missing a:done < gap a",
    ),
    "a gap: an effect whose cause may be in it": (
        f"{ROUTE};b:r< k;c:t k;damage a no JSON",
        "unknown;gap a;phantom b:r k < gap a",
    ),
    "a gap elsewhere excuses no phantom": (
        f"{ROUTE};b:r< k;c:t k;damage c no JSON",
        "fail;phantom b:r k;gap c",
    ),
    "a crash goes before a gap": (
        f"{ROUTE};a:s> k;b:r< k;damage c no JSON;end c exit=1",
        "fail;crash c;lost c:t k < crash c;gap c",
    ),
    "a gap does not excuse another failure": (
        f"{ROUTE};a:s> k;b:r< k;c:t k k;damage c no JSON",
        "fail;duplicate c:t k;gap c",
    ),
    "spans that may be missing: what is missing at their place is unknown": (
        f"{ROUTE};a:s> k;unrecorded b b:r",
        "unknown;gap b;lost b:r k < gap b;lost c:t k < lost b:r",
    ),
    "spans that may be missing: not what is missing at another place": (
        f"{ROUTE};a:s> k;unrecorded b b:x",
        "fail;lost b:r k;lost c:t k < lost b:r",
    ),
    "spans that may be missing, and nothing is": (
        f"{ROUTE};a:s> k;b:r< k;c:t k;unrecorded b b:r",
        "pass",
    ),
    "spans that may be missing: a required probe": (
        "unit a done;a:up;unrecorded a a:done",
        "unknown;gap a;missing a:done < gap a",
    ),
    "spans that may be missing: another required probe": (
        "unit a done;a:up;unrecorded a a:up",
        "fail;missing a:done",
    ),
    "spans that may be missing: an effect whose cause is one": (
        f"{ROUTE};b:r< k;c:t k;unrecorded a a:s",
        "unknown;gap a;phantom b:r k < gap a",
    ),
    "spans that may be missing: a circuit without any event": (
        f"{ROUTE};unrecorded a a:s",
        "unknown;gap a;vacuous command < gap a",
    ),
    "spans that may be missing: a crash goes before them": (
        f"{ROUTE};a:s> k;b:r< k;unrecorded c c:t;end c exit=1",
        "fail;crash c;lost c:t k < crash c",
    ),
    "a gap of the receiver excuses an orphan": (
        "unit a;unit b;a:s> k j;b:r< j;damage b no JSON",
        "unknown;gap b;lost a:s k < gap b",
    ),
    "a gap of one that never receives does not": (
        "unit a;unit b;unit c;a:s> k j;b:r< j;damage c no JSON",
        "fail;lost a:s k;gap c",
    ),
    # checks
    "a crash: what its output should have held": (
        (
            "unit a;unit b quiet=true;end a exit=1;check c owed=output unit=a;"
            "check d owed=output unit=b"
        ),
        "fail;crash a;check c < crash a;check d",
    ),
    "a crash: checks that are about this unit alone": (
        "unit a;unit b;b:up;end a exit=1;check c unit=a;check d unit=b",
        "fail;crash a;check c < crash a;check d",
    ),
    "a crash that stops the group: files that were not written": (
        "unit a;end a exit=1;check c owed=output;check d",
        "fail;crash a;check c < crash a;check d",
    ),
    "a crash that the others outlive: no files": (
        "unit a in_except=Resume;end a exit=1;check c owed=output",
        "fail;crash a;check c",
    ),
    "a unit that was not started: its output": (
        "unit a;unit b;end a exit=1;end b cause=notrun by=a;check c owed=output unit=b",
        "fail;crash a;notrun b < crash a;check c < notrun b",
    ),
    "a gap: a probe that a check speaks of, no line of output": (
        "unit a;a:up;damage a no JSON;check c owed=probe unit=a;check d owed=output unit=a",
        "fail;check d;gap a;check c < gap a",
    ),
    "a gap alone: the check is unknown": (
        "unit a;a:up;damage a no JSON;check c owed=probe unit=a",
        "unknown;gap a;check c < gap a",
    ),
    # the runner
    "a runner that failed explains what is not there": (
        "unit a done;unit b;a:up;evidence infra=disk;end b cause=notrun",
        "error;infra group;notrun b < infra group;missing a:done < infra group",
    ),
    # ranking of roots
    "by the table, then by time": (
        "unit a x;unit b y;unit c;a:up;b:up;end c leaks=7",
        "fail;silent c;missing a:x;missing b:y;leak c",
    ),
    "failing before unknown": (
        "unit a x;unit b;a:up;b:up seq=1;b:up seq=3",
        "fail;missing a:x;gap b",
    ),
    "by time within a code": (
        f"{THREE};circuit a:s b:r c:t;a:s> k;b:r< k @50;a:s> j @20;c:t j @60",
        "fail;lost b:r j;lost c:t k",
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_rule(case: str, findings_of: Callable[[str], str]) -> None:
    text, expected = TABLE[case]
    assert findings_of(text.replace(";", "\n")) == expected.replace(";", "\n")
