"""Properties of the judgement: healthy runs have no finding, one fault is always found."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testrium.declared.circuits import Circuit, Hop, Rules
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import End, EndCause, Event, Evidence, Finding, UnitState
from testrium.results import Judgement
from testrium.run.expectations import Expectations
from testrium.verify import circuits
from testrium.verify.judge import judge
from testrium.words import EMPTY, Code, Place, Verdict

UNITS = ("a", "b", "c", "d")
#: Over 2 500 generated runs in all; `test_histories` makes 28 000 more.
thorough = settings(max_examples=200)

STEP_NS = 1_000_000
WITHIN_NS = 10_000 * STEP_NS


@dataclass(frozen=True)
class Run:
    """A healthy run: events in the order in which they happened, 1 ms apart at least."""

    scenario: Scenario
    events: tuple[Event, ...]

    @property
    def hops(self) -> int:
        return len(self.scenario.group.circuits[0].stages)

    def judged(self, events: tuple[Event, ...] | None = None) -> Judgement:
        chosen = self.events if events is None else events
        ends = tuple(
            End(unit.name, EndCause.SELF, UnitState.FINISHED, exit_code=0, starts=1, pid=1)
            for unit in self.scenario.units
        )
        return judge(self.scenario, Evidence(events=chosen, ends=ends))

    def codes(self, events: tuple[Event, ...]) -> set[Code]:
        return {finding.code for finding in self.judged(events).findings}

    def at(self, hop: int) -> list[int]:
        """The positions of the events of a hop."""
        return [number for number, event in enumerate(self.events) if event.step == f"s{hop}"]


@st.composite
def runs(draw: st.DrawFn, *, fifo: bool = False, least_keys: int = 1) -> Run:
    """Keys that travel side by side over a route of two to four hops."""
    hops = draw(st.integers(2, 4))
    keys = [f"k{n}" for n in range(draw(st.integers(least_keys, 6)))]
    numbered = draw(st.booleans())
    ways = [key for _ in range(hops) for key in keys]
    if not fifo:
        ways = draw(st.permutations(ways))
    reached = dict.fromkeys(keys, 0)
    numbers = dict.fromkeys(UNITS, 0)
    events: list[Event] = []
    t_ns = draw(st.integers(0, 10**15))
    for key in ways:
        hop = reached[key]
        unit = UNITS[hop]
        reached[key] += 1
        numbers[unit] += 1
        t_ns += draw(st.integers(1, 3)) * STEP_NS
        events.append(
            Event(
                id=len(events) + 1,
                unit=unit,
                step=f"s{hop}",
                type=("Send", "Receive", "Default", "Default")[hop],
                key=key,
                cause=(),
                t_ns=t_ns,
                t_low_ns=None,
                wall_ns=t_ns,
                domain="here",
                pid=10 + hop,
                seq=numbers[unit] if numbered else None,
                start=1,
                attempt=1,
                owner=unit,
                meta={"size": key},
            )
        )
    names = UNITS[:hops]
    circuit = Circuit(
        "way",
        tuple(
            (Hop(f"{unit}:s{hop}", (Place(unit, f"s{hop}"),)),) for hop, unit in enumerate(names)
        ),
        keys=(len(keys), len(keys)),
        within_ns=WITHIN_NS,
        same=("size",),
        fifo=fifo,
    )
    units = tuple(
        Unit(name, init, f"units/{name}.toml", entrypoint="case:main", events=(f"s{init}",))
        for init, name in enumerate(names)
    )
    rules = Rules(orphans=draw(st.sampled_from(["allow", "forbid"])))
    group = Group("group", Path("group"), units, circuits=(circuit,), rules=rules)
    return Run(Scenario("group", group, units), tuple(events))


def pick(data: st.DataObject, run: Run, hop: int) -> int:
    return data.draw(st.sampled_from(run.at(hop)))


def changed(events: tuple[Event, ...], number: int, **fields: object) -> tuple[Event, ...]:
    event = events[number]._replace(**fields)  # type: ignore[arg-type]
    return (*events[:number], event, *events[number + 1 :])


def without_numbers(run: Run) -> Run:
    """The same run without sequence numbers: a dropped event leaves no hole then."""
    return replace(run, events=tuple(event._replace(seq=None) for event in run.events))


@thorough
@given(runs() | runs(fifo=True))
def test_a_healthy_run_has_no_finding(run: Run) -> None:
    judgement = run.judged()
    assert judgement.findings == ()
    assert judgement.verdict is Verdict.PASS
    assert not judgement.missing


@thorough
@given(runs(), st.randoms())
def test_the_order_of_storing_does_not_matter(run: Run, chance: random.Random) -> None:
    shuffled = list(run.events)
    chance.shuffle(shuffled)
    assert run.judged(tuple(shuffled)) == run.judged()


@thorough
@given(runs(), st.data())
def test_a_dropped_event_is_found(run: Run, data: st.DataObject) -> None:
    bare = without_numbers(run)
    hop = data.draw(st.integers(0, run.hops - 1))
    number = pick(data, run, hop)
    codes = bare.codes(bare.events[:number] + bare.events[number + 1 :])
    assert (Code.LOST if hop else Code.PHANTOM) in codes


@thorough
@given(runs(), st.data())
def test_a_dropped_event_of_a_numbered_process_is_unknown(run: Run, data: st.DataObject) -> None:
    numbered = [event for event in run.events if event.seq is not None]
    inner = [
        n
        for n, e in enumerate(numbered)
        if any(other.pid == e.pid and (other.seq or 0) > (e.seq or 0) for other in numbered)
    ]
    if not inner:
        return
    number = data.draw(st.sampled_from(inner))
    judgement = run.judged(run.events[:number] + run.events[number + 1 :])
    assert judgement.verdict is Verdict.UNKNOWN
    assert judgement.findings[0].code is Code.GAP


@thorough
@given(runs(), st.data())
def test_a_repeated_event_is_found(run: Run, data: st.DataObject) -> None:
    number = pick(data, run, data.draw(st.integers(0, run.hops - 1)))
    again = run.events[number]._replace(id=999, seq=None, t_ns=run.events[-1].t_ns + STEP_NS)
    assert Code.DUPLICATE in run.codes((*run.events, again))


@thorough
@given(runs(), st.data())
def test_a_renamed_step_is_found(run: Run, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, run.hops - 1))
    codes = run.codes(changed(run.events, pick(data, run, hop), step="other"))
    assert Code.LOST in codes
    if hop == 1:  # a Receive with a circuit's key
        assert Code.MISROUTED in codes


@thorough
@given(runs(), st.data())
def test_a_changed_key_is_found(run: Run, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, run.hops - 1))
    codes = run.codes(changed(run.events, pick(data, run, hop), key="strange"))
    assert {Code.LOST, Code.PHANTOM} <= codes


@thorough
@given(runs(), st.data())
def test_a_key_that_disappears_is_found(run: Run, data: st.DataObject) -> None:
    number = pick(data, run, data.draw(st.integers(0, run.hops - 1)))
    assert Code.UNKEYED in run.codes(changed(run.events, number, key=None))


@thorough
@given(runs(), st.data())
def test_swapped_times_are_found(run: Run, data: st.DataObject) -> None:
    hop = data.draw(st.integers(1, run.hops - 1))
    number = pick(data, run, hop)
    effect = run.events[number]
    before = next(n for n in run.at(hop - 1) if run.events[n].key == effect.key)
    swapped = changed(run.events, number, t_ns=run.events[before].t_ns, seq=None)
    swapped = changed(swapped, before, t_ns=effect.t_ns, seq=None)
    assert (Code.CAUSALITY if hop == 1 else Code.ORDER) in run.codes(swapped)


@thorough
@given(runs(), st.data())
def test_a_delay_is_found(run: Run, data: st.DataObject) -> None:
    number = pick(data, run, run.hops - 1)
    late = run.events[number].t_ns + 2 * WITHIN_NS
    assert Code.LATE in run.codes(changed(run.events, number, t_ns=late, seq=None))


@thorough
@given(runs(), st.data())
def test_a_changed_payload_is_found(run: Run, data: st.DataObject) -> None:
    number = pick(data, run, data.draw(st.integers(0, run.hops - 1)))
    assert Code.MISMATCH in run.codes(changed(run.events, number, meta={"size": "less"}))


@thorough
@given(runs(fifo=True, least_keys=2), st.data())
def test_overtaking_is_found(run: Run, data: st.DataObject) -> None:
    bare = without_numbers(run)
    last = bare.at(run.hops - 1)
    first = data.draw(st.integers(0, len(last) - 2))
    one, other = last[first], last[first + 1]
    swapped = changed(bare.events, one, t_ns=bare.events[other].t_ns)
    swapped = changed(swapped, other, t_ns=bare.events[one].t_ns)
    assert Code.REORDER in bare.codes(swapped)


@thorough
@given(runs(), st.data())
def test_another_clock_is_unknown_where_a_limit_of_time_is_asked(
    run: Run, data: st.DataObject
) -> None:
    hop = data.draw(st.integers(1, run.hops - 1))
    judgement = run.judged(changed(run.events, pick(data, run, hop), domain="elsewhere"))
    ends = hop == run.hops - 1
    assert judgement.verdict is (Verdict.UNKNOWN if ends else Verdict.PASS)
    assert {finding.code for finding in judgement.findings} == ({Code.CLOCK} if ends else set())


@settings(thorough, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs(), data=st.data())
def test_columns_see_what_the_full_check_sees(
    run: Run, data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain instances are left out of the full check: that must change nothing."""
    events = list(run.events)
    for _ in range(data.draw(st.integers(0, 3))):
        number = data.draw(st.integers(0, len(events) - 1))
        change = data.draw(
            st.sampled_from(
                [
                    {"t_ns": run.events[0].t_ns},
                    {"key": "k0"},
                    {"t_low_ns": run.events[0].t_ns},
                    {"domain": "elsewhere"},
                    {"seq": 1},
                    {"pid": 10},
                    {"meta": EMPTY},
                    {"meta": {"size": True}},
                    {"step": "s1"},
                ]
            )
        )
        events[number] = events[number]._replace(**change)  # type: ignore[arg-type]
    by_columns = run.judged(tuple(events))
    with monkeypatch.context() as patch:
        patch.setattr(circuits, "fast_latencies", lambda *_: {})
        assert run.judged(tuple(events)) == by_columns


@thorough
@given(runs(), st.data())
def test_expectations_are_met_when_nothing_is_lost(run: Run, data: st.DataObject) -> None:
    """The runner stops waiting exactly when the judgement will miss nothing."""
    chosen = data.draw(st.sets(st.sampled_from(range(len(run.events)))))
    events = tuple(run.events[number]._replace(seq=None) for number in sorted(chosen))
    expectations = Expectations(run.scenario)
    expectations.feed(events)
    open_codes = {Code.LOST, Code.MISSING, Code.VACUOUS, Code.PHANTOM}
    assert expectations.met() == run.codes(events).isdisjoint(open_codes)


# Everything else that a judgement has -------------------------------------------------------------


def test_required_probes(judged: Callable[[str], Judgement]) -> None:
    judgement = judged("unit a up down stop_events=flushed\na:up\na:flushed")
    assert list(map(str, judgement.completed)) == ["a:up", "a:flushed"]
    assert list(map(str, judgement.missing)) == ["a:down"]


def test_an_earlier_attempt_is_not_judged(findings_of: Callable[[str], str]) -> None:
    assert (
        findings_of(
            """
            unit a attempted
            evidence attempt=2
            a:KeyError! attempt=1
            a:attempted attempt=2
            end a attempt=2"""
        )
        == "pass"
    )


def test_tests_that_failed(judged: Callable[[str], Judgement]) -> None:
    judgement = judged("unit a\na:up\ntest test_one passed\ntest test_two failed")
    (finding,) = judgement.findings
    assert (judgement.verdict, finding.code, finding.where) == ("fail", "test", "test_two")
    assert finding.message == "test_two failed: no"


def test_findings_made_elsewhere_are_ranked_with_the_rest(table: Callable[[str], object]) -> None:
    case = table("unit a\na:up\nend a exit=1")
    evidence: Evidence = case.evidence()  # type: ignore[attr-defined]
    check = Finding(Code.CHECK, "total", "total is 3, not 4")
    limit = Finding(Code.LIMIT, "a", "a used 300 MB")
    given = evidence._replace(findings=(check, limit))
    judgement = judge(case.scenario(), given)  # type: ignore[attr-defined]
    assert [f.code for f in judgement.findings] == [Code.CRASH, Code.LIMIT, Code.CHECK]


@pytest.mark.parametrize(
    ("text", "verdict", "first"),
    [
        ("unit a\na:up", "fail", "unexpected-pass group"),
        ("unit a down\na:up", "xfail", "missing a:down"),
        ("unit a\na:up\ndamage a no", "unknown", "gap a"),
        ("unit a\na:up\nevidence infra=disk", "error", "infra group"),
    ],
)
def test_expected_failures(
    text: str, verdict: str, first: str, judged: Callable[[str], Judgement]
) -> None:
    judgement = judged(f"{text}\ngroup expect_fail=bug-7")
    finding = judgement.findings[0]
    assert (judgement.verdict, f"{finding.code} {finding.where}") == (verdict, first)


def test_an_interrupted_group_is_not_blamed(table: Callable[[str], object]) -> None:
    case = table("unit a done\na:up\nend a cause=abandoned")
    evidence = case.evidence()._replace(interrupted=True)  # type: ignore[attr-defined]
    judgement = judge(case.scenario(), evidence)  # type: ignore[attr-defined]
    assert judgement.verdict is Verdict.ERROR
    assert [f.explained_by for f in judgement.findings] == [None, "infra group"]


def test_a_suspended_machine_is_noted(table: Callable[[str], object]) -> None:
    case = table("unit a done\na:done\nend a")
    evidence = case.evidence()._replace(suspended_ns=2_500_000_000)  # type: ignore[attr-defined]
    judgement = judge(case.scenario(), evidence)  # type: ignore[attr-defined]
    assert judgement.verdict is Verdict.PASS
    (note,) = judgement.notes
    assert note.code is Code.CLOCK
    assert "suspended for 2.5 s" in note.message
