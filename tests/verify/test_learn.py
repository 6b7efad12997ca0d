"""Circuits that are learned from a run are accepted by the loader, and pass on that run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testrium.declared.circuits import Circuit
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import Event, Evidence
from testrium.load import load_groups
from testrium.load.project import Project
from testrium.verify.judge import judge
from testrium.verify.learn import Proposal, as_toml, learn, quoted

MS = 1_000_000

REQUEST_REPLY = """
    unit client
    unit server
    client sent>     k1 k2 k3
    server received< k1 k2 k3
    server answered> k1 k2 k3
    client matched<  k1 k2 k3
"""
FAN_OUT = """
    unit news
    unit mail
    unit web
    news published> k1 k2 k3
    mail got< k1 @10
    web  got< k1 @11
    web  got< k2 @12
    mail got< k2 @13
    mail got< k3 @14
    web  got< k3 @15
"""
RETRIES = """
    unit client
    unit host
    client sent> k1 k2 k3 k2 k2
    host received< k1 k2 k2 k3
"""
OPTIONAL = """
    unit client
    unit host
    client sent> k1 k2 k3
    host received< k1 k2 k3
    host audited k2
    host done k1 k2 k3
"""
REPLY_WITH_KEY_OF_ITS_OWN = """
    unit client
    unit host
    client sent> k1 k2
    host received< k1 k2
    host replied> r1 cause=k1
    host replied> r2 cause=k2
    client matched< r1 r2
"""
EITHER_OUTCOME = """
    unit client
    unit host
    client sent> k1 k2 k3
    host stored  k1
    host refused k2
    host delayed k3
    client told< k1 k2 k3
"""
PLACES_THAT_CANNOT_BE_HOPS = """
    unit client
    unit host
    client sent> k1 k2
    host received< k1 k2
    host a|b> k1
    host stored k1
    host stored
    host ValueError! k1
    stranger seen k1
"""
FAN_IN = """
    unit a
    unit b
    unit api
    b part> k1
    a part> k1
    api joined k1
"""
SAME_WORK = """
    unit a
    unit b
    unit api
    b part k1
    a part k1
    api joined k1
"""
PASSED_ON = """
    unit client
    unit gateway
    unit host
    client sent> k1
    gateway forwarded> k1
    host received< k1
    client sent> k2
    gateway forwarded> k2
    host received< k2
    client sent> k3
    gateway forwarded> k3
    host received< k3
"""
TWO_WAYS = """
    unit client
    unit host
    client sent> k1 k2
    host received< k1 k2
    host beat> b1 b2
    client felt< b1 b2
    host alone> x1 x2
"""
BATCH = """
    unit shop
    unit bank
    shop sold k1 k2 k3
    shop batched> b1 cause=k1,k2,k3
    bank booked<  b1
"""


def routes(proposals: tuple[Proposal, ...]) -> str:
    """One line for each: stages apart by blanks, hops of one stage by `&`."""
    return "\n".join(
        " ".join("&".join(hop.written for hop in stage) for stage in one.stages)
        for one in (proposal.circuit for proposal in proposals)
    )


def loaded(toml: str, units: tuple[Unit, ...]) -> tuple[Circuit, ...]:
    """The circuits as the loader reads them from a group's file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "group"
        (folder / "units").mkdir(parents=True)
        names = json.dumps([unit.name for unit in units])
        (folder / "config.toml").write_text(f"[Configs]\nunits = {names}\n\n{toml}")
        for unit in units:
            text = f'["{unit.name}"]\ninit = {unit.init}\n'
            (folder / "units" / f"{unit.name}.toml").write_text(text)
        project = Project(state_folder=folder / "state")
        [group] = load_groups([folder], cwd=folder, project=project)
        return group.circuits


def check(scenario: Scenario, evidence: Evidence) -> tuple[Proposal, ...]:
    """Learn from a run; the loader accepts what was learned, and the run passes with it."""
    proposals = learn(scenario.units, evidence.events)
    toml = "\n".join(map(as_toml, proposals))
    circuits = loaded(toml, scenario.units)
    assert circuits == tuple(proposal.circuit for proposal in proposals)
    taught = scenario._replace(group=replace(scenario.group, circuits=circuits))
    found = [finding for finding in judge(taught, evidence).findings if finding.circuit is not None]
    assert found == []
    return proposals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (REQUEST_REPLY, "client:sent server:received server:answered client:matched"),
        (FAN_OUT, "news:published mail:got&web:got"),
        (RETRIES, "client:sent{1,3} host:received{1,2}"),
        (OPTIONAL, "client:sent host:received host:audited? host:done"),
        (REPLY_WITH_KEY_OF_ITS_OWN, "client:sent host:received host:replied client:matched"),
        (EITHER_OUTCOME, "client:sent host:stored|host:refused|host:delayed client:told"),
        (PLACES_THAT_CANNOT_BE_HOPS, "client:sent host:received"),
        (FAN_IN, "a:part&b:part api:joined"),
        (SAME_WORK, "a:part&b:part api:joined"),
        (PASSED_ON, "client:sent gateway:forwarded host:received"),
        (TWO_WAYS, "client:sent host:received\nhost:beat client:felt"),
        (BATCH, "shop:sold{3} shop:batched bank:booked"),
        ("unit host\nhost began\nhost ended", ""),
    ],
)
def test_routes(table: Callable[[str], Any], text: str, expected: str) -> None:
    case = table(text)
    assert routes(check(case.scenario(), case.evidence())) == expected


def test_toml_says_how_well_each_guess_is_supported(table: Callable[[str], Any]) -> None:
    case = table(OPTIONAL)
    [proposal] = check(case.scenario(), case.evidence())
    assert as_toml(proposal) == (
        "[[circuits]]\n"
        'name = "sent"\n'
        "route = [\n"
        '    "client:sent",    # 3 of 3 keys\n'
        '    "host:received",  # 3 of 3 keys\n'
        '    "host:audited?",  # 1 of 3 keys\n'
        '    "host:done",      # 3 of 3 keys\n'
        "]\n"
        'keys = "3"        # 3 keys in this run; write "1.." where the number varies\n'
        'within = "100ms"  # 10 times the slowest of 3 keys (7 ms), 100 ms at least\n'
    )


def test_hops_of_several_events_say_how_often_their_keys_came(table: Callable[[str], Any]) -> None:
    said: dict[str, str] = {}
    for text in (RETRIES, BATCH):
        case = table(text)
        for proposal in check(case.scenario(), case.evidence()):
            said |= proposal.reasons
    assert said["client:sent"] == "3 of 3 keys; 1 of them more than once, 3 times at most"
    assert said["shop:sold"] == "1 of 1 key; 3 times each"


def test_an_order_that_varied_is_one_stage_that_says_so(table: Callable[[str], Any]) -> None:
    case = table(FAN_OUT)
    [proposal] = check(case.scenario(), case.evidence())
    assert proposal.remarks == {1: "in any order: first came mail:got (2), web:got (1)"}


def test_receivers_in_one_burst_may_race(table: Callable[[str], Any]) -> None:
    """Thirty keys, but one of the two was scheduled first and took all of them."""
    keys = " ".join(f"k{number}" for number in range(30))
    burst = f"unit news\nunit mail\nunit web\nnews out> {keys}\nmail got< {keys}\nweb got< {keys}"
    case = table(burst)
    [proposal] = check(case.scenario(), case.evidence())
    assert routes((proposal,)) == "news:out mail:got&web:got"
    assert proposal.remarks[1].endswith("30 keys came in the same one, which may be a coincidence")


def test_receivers_that_took_turns_often_enough_have_an_order(table: Callable[[str], Any]) -> None:
    text = "unit a\nunit b\nunit c\n" + "".join(
        f"a out> k{number}\nb got< k{number}\nc got< k{number}\n" for number in range(8)
    )
    case = table(text)
    proposals = check(case.scenario(), case.evidence())
    assert routes(proposals) == "a:out b:got c:got"
    assert proposals[0].reasons["c:got"] == "8 of 8 keys"


def test_an_order_that_only_times_tell_is_called_a_guess(table: Callable[[str], Any]) -> None:
    case = table("unit a\nunit b\nunit c\na out> k1 k2\nb stored k1 k2\nc written k1 k2")
    [proposal] = check(case.scenario(), case.evidence())
    assert routes((proposal,)) == "a:out b:stored c:written"
    assert "coincidence" in proposal.reasons["c:written"]
    assert "coincidence" not in proposal.reasons["b:stored"]


def test_places_that_no_route_can_name_open_the_circuit(table: Callable[[str], Any]) -> None:
    case = table(PLACES_THAT_CANNOT_BE_HOPS)
    [proposal] = check(case.scenario(), case.evidence())
    assert proposal.circuit.open
    assert proposal.reasons["open"] == "its keys were also at host:a|b, which no route can name"


def test_limits_leave_headroom_and_a_percentile_needs_its_samples(
    table: Callable[[str], Any],
) -> None:
    def circuit(keys: int) -> Circuit:
        text = "unit a\nunit b\n" + "".join(
            f"a out> k{n}\nb got< k{n} @{n * 40 + 30}\n" for n in range(keys)
        )
        case = table(text)
        [proposal] = check(case.scenario(), case.evidence())
        return proposal.circuit

    assert circuit(20).within_ns == 500 * MS  # ten times 30 ms, rounded up
    assert circuit(20).budgets == {95: 200 * MS}  # five times 30 ms, rounded up
    assert circuit(19).budgets == {}


def test_clocks_that_cannot_be_compared_give_neither_order_nor_limits(
    table: Callable[[str], Any],
) -> None:
    case = table("unit a\nunit b\na out> k1\nb got< k1 domain=elsewhere")
    [proposal] = check(case.scenario(), case.evidence())
    assert routes((proposal,)) == "a:out&b:got"
    assert proposal.circuit.within_ns is None


def test_names_of_circuits_differ(table: Callable[[str], Any]) -> None:
    case = table("unit a\nunit b\na out> k1\na in< k1\nb out> x1\nb in< x1")
    proposals = check(case.scenario(), case.evidence())
    assert [one.circuit.name for one in proposals] == ["out", "b:out"]


def test_only_the_last_attempt_is_learned_from(table: Callable[[str], Any]) -> None:
    case = table("""
        unit a
        unit b
        a out> k1 k2 attempt=1
        a out> k1 attempt=2
        b got< k1 attempt=2
        evidence attempt=2
    """)
    [proposal] = check(case.scenario(), case.evidence())
    assert proposal.instances == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\u202e", '"\\u202e"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("größe", '"größe"'),
    ],
)
def test_strings_are_quoted_for_toml_and_for_terminals(text: str, expected: str) -> None:
    assert quoted(text) == expected


# Whatever happened -----------------------------------------------------------------------------

UNITS = tuple(Unit(name, number, f"units/{name}.toml") for number, name in enumerate("abc"))
STEPS = st.sampled_from(["s", "t", "u", "a b", "x:y", 'q"', "?", "+x", "ü", "\u202e", "*", "p|q"])


@st.composite
def _event(draw: st.DrawFn, number: int) -> Event:
    kind = draw(st.sampled_from(["Default", "Default", "Send", "Receive", "Exception"]))
    keys = st.sampled_from(["k1", "k2", "k3", "k4"])
    key = draw(keys if kind in ("Send", "Receive") else st.one_of(keys, keys, st.none()))
    t_ns = draw(st.integers(0, 20)) * MS
    read = draw(st.booleans()) and draw(st.booleans())
    unit = draw(st.sampled_from("abc"))
    return Event(
        id=number,
        unit=unit,
        step=draw(STEPS),
        type=kind,
        key=key,
        cause=tuple(draw(st.lists(keys, max_size=1))) if draw(st.booleans()) else (),
        t_ns=t_ns,
        t_low_ns=max(0, t_ns - 3 * MS) if read else None,
        wall_ns=t_ns,
        domain=draw(st.sampled_from(["here", "here", "here", "there"])),
        pid=ord(unit),
        seq=draw(st.one_of(st.none(), st.just(number))),
        start=1,
        attempt=1,
        owner=unit,
        meta={},
    )


@given(st.data(), st.integers(0, 25))
@settings(max_examples=40)
def test_whatever_happened_passes_with_what_was_learned(data: st.DataObject, count: int) -> None:
    events = tuple(data.draw(_event(number)) for number in range(1, count + 1))
    group = Group("group", Path("group"), UNITS)
    check(Scenario("group", group, UNITS), Evidence(events=events))


@given(st.data(), st.integers(1, 12))
def test_what_follows_a_route_has_that_route_learned(data: st.DataObject, keys: int) -> None:
    """Keys that take the same way, one after the other, teach just that way."""
    length = data.draw(st.integers(2, 6))
    units = data.draw(st.lists(st.sampled_from("abc"), min_size=length, max_size=length))
    events = tuple(
        Event(
            id=key * length + hop + 1,
            unit=unit,
            step=f"step-{hop}",
            type="Default",
            key=f"k{key}",
            cause=(),
            t_ns=(key * length + hop) * MS,
            t_low_ns=None,
            wall_ns=0,
            domain="here",
            pid=ord(unit),
            seq=None,
            start=1,
            attempt=1,
            owner=unit,
            meta={},
        )
        for key in range(keys)
        for hop, unit in enumerate(units)
    )
    scenario = Scenario("group", Group("group", Path("group"), UNITS), UNITS)
    proposals = check(scenario, Evidence(events=events))
    way = " ".join(f"{unit}:step-{hop}" for hop, unit in enumerate(units))
    assert routes(proposals) == way
