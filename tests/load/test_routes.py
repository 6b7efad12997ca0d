"""Hops and routes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testrium.declared.circuits import Hop, RouteError, parse_hop, parse_place
from testrium.load.circuits import KnownPlaces, read_circuits
from testrium.load.document import Document, ProblemCollector, Spot
from testrium.words import Place

UNITS = ("client", "host", "db", "a.b", "tests")
STATIONS = KnownPlaces({"client": frozenset({"sent", "done"}), "host": frozenset({"received"})})


def hop(text: str, *places: tuple[str, str], least: int = 1, most: int | None = 1) -> Hop:
    return Hop(text, tuple(Place(*place) for place in places), least, most)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("client:sent", hop("client:sent", ("client", "sent"))),
        ("a.b:x", hop("a.b:x", ("a.b", "x"))),
        ("tests:x", hop("tests:x", ("tests", "x"))),
        ("host:audited?", hop("host:audited", ("host", "audited"), least=0)),
        ("host:x*", hop("host:x", ("host", "x"), least=0, most=None)),
        ("host:x+", hop("host:x", ("host", "x"), most=None)),
        ("host:x{3}", hop("host:x", ("host", "x"), least=3, most=3)),
        ("host:x{3,}", hop("host:x", ("host", "x"), least=3, most=None)),
        ("host:x{0,2}", hop("host:x", ("host", "x"), least=0, most=2)),
        ("host:*", hop("host:*", ("host", "*"))),
        ("host:*+", hop("host:*", ("host", "*"), most=None)),
        ("host:**", hop("host:*", ("host", "*"), least=0, most=None)),
        ("host:*{2}", hop("host:*", ("host", "*"), least=2, most=2)),
        ("*:ready", hop("*:ready", ("*", "ready"))),
        ("*:*", hop("*:*", ("*", "*"))),
        (
            "client:done|client:rejected",
            hop("client:done|client:rejected", ("client", "done"), ("client", "rejected")),
        ),
        (
            "client:a | host:b {1,3}",
            hop("client:a | host:b", ("client", "a"), ("host", "b"), most=3),
        ),
        ("host:*|db:x?", hop("host:*|db:x", ("host", "*"), ("db", "x"), least=0)),
        ("host:step with: colon", hop("host:step with: colon", ("host", "step with: colon"))),
    ],
)
def test_hops(text: str, expected: Hop) -> None:
    assert parse_hop(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "column 1: expected unit:step, found ''"),
        ("client", "column 1: expected unit:step, found 'client'"),
        ("client:", "column 8: the step is missing"),
        ("client:?", "column 8: the step is missing"),
        (":sent", "column 1: '' is not a name of a unit"),
        ("cl ient:x", "column 1: 'cl ient' is not a name of a unit"),
        ("client:a|", "column 10: expected unit:step, found ''"),
        ("host:x{3,1}", "column 7: the count {3,1}: 1 is less than 3"),
        ("host:x{0}", "column 7: the count {0}: must allow at least one"),
        (
            "host:x}",
            "column 7: unexpected '}': a count is one of ? * + {n} {n,} {n,m}, at the end",
        ),
        (
            "host:x{a}",
            "column 7: unexpected '{': a count is one of ? * + {n} {n,} {n,m}, at the end",
        ),
        (
            "client:a+|host:b",
            "column 9: unexpected '+': a hop has one count, behind its last alternative",
        ),
        (
            "host:x++",
            "column 7: unexpected '+': a hop has one count, behind its last alternative",
        ),
        ("host:x*y", "column 7: '*' matches a whole step, not a part of it"),
        ("host:a\tb", "column 6: a step has up to 200 characters and no control characters"),
        ("host:x|host:x", "column 1: an alternative is given twice"),
    ],
)
def test_errors_point_into_the_hop(text: str, message: str) -> None:
    with pytest.raises(RouteError) as caught:
        parse_hop(text)
    assert str(caught.value) == f"{text!r}, {message}"


@pytest.mark.parametrize(
    ("text", "place"),
    [("host:TimeoutError", Place("host", "TimeoutError")), ("*:*", Place("*", "*"))],
)
def test_places(text: str, place: Place) -> None:
    assert parse_place(text) == place


COUNTS: dict[str, tuple[int, int | None]] = {
    "": (1, 1),
    "?": (0, 1),
    "*": (0, None),
    "+": (1, None),
    "{2}": (2, 2),
    "{2,}": (2, None),
    "{2,5}": (2, 5),
}
STEPS = st.one_of(st.just("*"), st.from_regex(r"[a-z0-9_.:-]{1,8}", fullmatch=True))
PLACES = st.lists(
    st.builds(Place, st.sampled_from([*UNITS, "*"]), STEPS), min_size=1, max_size=3, unique=True
)


@given(PLACES, st.sampled_from(list(COUNTS)))
def test_what_is_written_is_read(places: list[Place], count: str) -> None:
    text = "|".join(map(str, places))
    least, most = COUNTS[count]
    assert parse_hop(text + count) == Hop(text, tuple(places), least, most)


@given(st.text("client:hos|*?+{}1,. ", max_size=20))
def test_any_text_is_a_hop_or_an_error_within_it(text: str) -> None:
    try:
        parsed = parse_hop(text)
    except RouteError as error:
        column = int(str(error).split("column ")[1].split(":")[0])
        assert 1 <= column <= len(text) + 1
    else:
        assert parsed.places
        assert parsed.most is None or 0 <= parsed.least <= parsed.most >= 1


def read(route: object) -> tuple[tuple[tuple[str, ...], ...], list[str], list[str]]:
    """The texts of the stages, the problems and the notices of a route."""
    collector = ProblemCollector()
    tables = [{"name": "c", "route": route}]
    spot = Spot(Document("f", "", {"circuits": tables}), ("circuits",), collector)
    (circuit,) = read_circuits(spot, STATIONS)
    texts = tuple(tuple(each.text for each in stage) for stage in circuit.stages)
    return texts, list(map(str, collector.problems)), list(map(str, collector.notices))


def test_a_nested_list_is_one_stage() -> None:
    route = ["client:sent", ["host:received+", "host:logged"], "client:done"]
    stages = (("client:sent",), ("host:received", "host:logged"), ("client:done",))
    assert read(route) == (stages, [], [])


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("client:x", """must be a list of hops, got 'client:x': write ["client:x"]"""),
        (
            "client:x -> host:x",
            'must be a list of hops, got \'client:x -> host:x\': write ["client:x", "host:x"]',
        ),
        (
            ["client:sent -> host:x"],
            (
                "'client:sent -> host:x': a route is a list of hops, without arrows:"
                ' ["client:sent", "host:x"]'
            ),
        ),
        (
            ["client.sent", "host:x"],
            "'client.sent', column 1: expected unit:step, found 'client.sent': write 'client:sent'",
        ),
        (
            [["client:sent| host.got.it?"]],
            (
                "'client:sent| host.got.it?', column 14: expected unit:step, found 'host.got.it?':"
                " write 'host:got.it?'"
            ),
        ),
        (["hots.x"], "'hots.x', column 1: expected unit:step, found 'hots.x'"),
        (3, "must be a list of hops, got 3"),
        ([], "must not be empty"),
        ([[]], "item 1 must not be empty"),
        ([3], 'item 1 must be a hop such as "unit:step", or a list of them, got 3'),
        ([[["x"]]], 'item 1 must be a hop such as "unit:step", or a list of them'),
        (
            ["client:sent", "hots:x"],
            "'hots:x', column 1: unknown unit 'hots'; did you mean 'host'?",
        ),
        (
            ["client:sent|hots:x", "hots"],
            "'client:sent|hots:x', column 13: unknown unit 'hots'; did you mean 'host'?",
        ),
    ],
)
def test_an_invalid_route_is_refused(route: object, problem: str) -> None:
    assert f"f: circuits[1].route: {problem}" in read(route)[1]


def test_a_point_in_place_of_a_colon_is_the_only_mistake_of_its_hop() -> None:
    stages, problems, _ = read(["client.sent|host.logged", "host:received"])
    assert stages == (("client:sent|host:logged",), ("host:received",))
    assert [problem.rpartition(": ")[2] for problem in problems] == [  # sorted by their words
        "write 'host:logged'",
        "write 'client:sent'",
    ]


def test_a_step_that_looks_misspelled_is_a_notice() -> None:
    stages, problems, notices = read(["client:snet", "client:retried", "host:sent"])
    assert len(stages) == 3
    assert problems == []
    assert notices == [
        "f: circuits[1].route: no file mentions the step 'client:snet'; did you mean 'sent'?"
    ]
