"""Which end was planned, told by the events that are stored."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from testrium.evidence import End, EndCause, Event, UnitState
from testrium.record.reader import load_evidence, with_fault, without_faults
from testrium.record.recorder import Recorder, injected

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000


def event(unit: str, step: str, /, *, owner: str, start: int = 1, **meta: Any) -> Event:
    return Event(
        1,
        unit,
        step,
        "Default",
        None,
        (),
        5 * SECOND,
        None,
        0,
        "here",
        7,
        None,
        start,
        1,
        owner,
        meta,
    )


def fault(do: str, **meta: Any) -> Event:
    return event("faults", f"{do} at host:x", owner="", start=2, do=do, unit="host", **meta)


def end(cause: EndCause = EndCause.SELF, **fields: Any) -> End:
    ended = End("host", cause, UnitState.FAILED, pid=7, starts=2, ended_ns=9 * SECOND)
    return ended._replace(**fields)


DIED = event("host", "InjectedFault", owner="host", start=2, uncaught="main")


@pytest.mark.parametrize(
    ("happened", "ended", "planned"),
    [
        (fault("kill"), end(signal="SIGKILL"), True),
        (fault("kill"), end(signal="SIGSEGV"), False),
        (fault("kill"), end(signal="SIGKILL", starts=3), False),
        (fault("kill"), end(signal="SIGKILL", unit="client"), False),
        (fault("kill"), end(EndCause.ABANDONED, signal="SIGKILL"), False),
        (fault("exit", code=1), end(exit_code=1), True),
        (fault("exit", code=1), end(exit_code=2), False),
        (fault("exit", code=1), end(exit_code=1, pid=8), False),
        (fault("raise"), end(exit_code=1), True),
        (fault("raise"), end(exit_code=1, pid=8), False),
        (fault("hang"), end(EndCause.OVERDUE), True),
        (fault("pause"), end(EndCause.UNREADY), True),
        (fault("delay", for_ns=5 * SECOND), end(EndCause.TIMEOUT), True),
        (fault("delay", for_ns=3 * SECOND), end(EndCause.TIMEOUT), False),
        (fault("hang"), end(exit_code=1), False),
        (fault("latency"), end(exit_code=1), False),
    ],
)
def test_an_end(happened: Event, ended: End, planned: bool) -> None:
    seen = with_fault(ended, [DIED], [happened])
    assert seen == ended._replace(fault=happened.step if planned else "")


def test_a_raised_fault_that_was_caught_does_not_end_the_unit() -> None:
    ended = end(exit_code=1)
    assert with_fault(ended, [], [fault("raise")]) == ended


def test_events_without_an_owner_are_faults() -> None:
    probe, happened = event("faults", "x", owner="faults"), fault("kill")
    assert without_faults([probe, happened]) == ((probe,), (happened,))


def test_a_fault_is_stored_as_an_event_and_read_apart(tmp_path: Path) -> None:
    async def work() -> None:
        async with Recorder(tmp_path / "Data.db", "here") as recorder:
            recorder.add_fault(
                injected("kill at host:x", do="kill", unit="host", start=2, pid=7, key="k", at="x")
            )
            waited = await recorder.wait_for("faults", "kill at host:x")
            assert waited.meta == {"do": "kill", "unit": "host", "at": "x"}
            recorder.store_results([end(signal="SIGKILL")], ())

    asyncio.run(work())
    evidence = load_evidence(tmp_path / "Data.db")
    assert evidence.events == ()
    (happened,) = evidence.faults
    assert (happened.unit, happened.owner, happened.start, happened.pid) == ("faults", "", 2, 7)
    assert (happened.key, happened.t_low_ns) == ("k", None)
    assert evidence.ends[0].fault == "kill at host:x"
