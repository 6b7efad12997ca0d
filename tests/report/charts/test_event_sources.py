from __future__ import annotations

from testrium.declared.circuits import Circuit, Hop
from testrium.report.charts.key_paths import EventSources, PassedEvent
from testrium.words import Place


def passed(place: str, type_: str = "Default", *, absent: bool = False) -> PassedEvent:
    unit, step = place.split(":")
    return PassedEvent(unit, step, type_, absent)


def circuit(*stages: tuple[str, ...]) -> Circuit:
    return Circuit(
        "c",
        tuple(
            tuple(
                Hop(text, tuple(Place(*one.split(":")) for one in text.split("|")))
                for text in stage
            )
            for stage in stages
        ),
    )


def test_without_a_route_messages_and_time_say_it() -> None:
    story = [
        passed("a:sent", "Send"),
        passed("b:got", "Receive"),
        passed("b:worked"),
        passed("c:got", "Receive"),
        passed("d:got", absent=True),
    ]
    assert EventSources().sources(story) == [None, 0, 1, 0, 0]


def test_an_optional_stage_that_was_skipped_is_passed_over() -> None:
    routes = EventSources([circuit(("a:sent",), ("b:seen",), ("c:got", "d:got"))])
    assert routes.sources([passed("a:sent"), passed("d:got"), passed("c:got")]) == [None, 0, 0]
    story = [passed("a:sent"), passed("b:seen"), passed("b:seen"), passed("c:got")]
    assert routes.sources(story) == [None, 0, 0, 2]


def test_alternatives_and_stars_have_their_place() -> None:
    routes = EventSources([circuit(("a:sent",), ("b:no|c:yes",), ("*:done",))])
    assert routes.sources([passed("a:sent"), passed("c:yes"), passed("x:done")]) == [None, 0, 1]


def test_what_is_in_no_route_follows_what_was_before() -> None:
    routes = EventSources([circuit(("a:sent",), ("b:got",))])
    story = [passed("x:begun"), passed("a:sent"), passed("x:noted"), passed("b:got")]
    assert routes.sources(story) == [None, None, 1, 1]
