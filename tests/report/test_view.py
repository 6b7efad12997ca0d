from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from testrium.declared.faults import Schedule
from testrium.evidence import CheckResult, Event, Finding
from testrium.evidence import TestResult as Test
from testrium.report import view
from testrium.report.view import MOST_EVENTS, rerun_command, view_group
from testrium.results import GroupResult, Judgement
from testrium.words import Code, Verdict


def with_findings(result: GroupResult, *findings: Finding) -> GroupResult:
    return result._replace(judgement=Judgement(Verdict.FAIL, findings))


def finding(code: Code, where: str, because: str | None = None, **fields: object) -> Finding:
    made = Finding(code, where, "message", explained_by=because)
    return made._replace(**fields)  # type: ignore[arg-type]


def test_what_follows_is_folded_under_its_root(lost: GroupResult, cwd: Path) -> None:
    result = with_findings(
        lost,
        finding(Code.CRASH, "db"),
        finding(Code.LOST, "db:stored", "crash db", keys=("a", "b")),
        finding(Code.MISSING, "db:stored", "lost db:stored"),
        finding(Code.LATE, "api:answered"),
    )
    roots = view_group(result, cwd=cwd).findings

    assert [root.title for root in roots] == ["crash at db", "late at api:answered"]
    assert roots[0].follow == ("lost db:stored (2 keys)", "missing db:stored")
    assert roots[1].follow == ()


def test_no_finding_is_ever_hidden(lost: GroupResult, cwd: Path) -> None:
    """Not by a cause that is not listed, not by a circle, not by itself."""
    result = with_findings(
        lost,
        finding(Code.LOST, "a:b", "crash gone"),
        finding(Code.LOST, "c:d", "missing e:f"),
        finding(Code.MISSING, "e:f", "lost c:d"),
        finding(Code.LATE, "g:h", "late g:h"),
    )

    assert len(view_group(result, cwd=cwd).findings) == 4


def test_roots_are_found_in_one_walk_also_where_causes_are_a_circle(
    lost: GroupResult, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk for each finding would be a million steps: here each cause is looked up once."""
    count = 1000
    circle = [finding(Code.LOST, f"{n}:s", f"lost {(n + 1) % count}:s") for n in range(count)]
    into = [finding(Code.LOST, f"x{n}:s", f"lost {n}:s") for n in range(count)]
    chain = [finding(Code.LATE, f"{n}:s", f"late {n + 1}:s" if n else None) for n in range(count)]
    names: list[str] = []
    name_of = view._name

    def noted_name_of(each: Finding) -> str:
        names.append(each.where)
        return name_of(each)

    monkeypatch.setattr(view, "_name", noted_name_of)
    roots = view_group(with_findings(lost, *circle, *into, *chain), cwd=cwd).findings
    assert len(roots) == 2 * count + 2
    assert len(names) < 10 * 3 * count


def test_two_roots_of_one_name_tell_what_follows_once(lost: GroupResult, cwd: Path) -> None:
    result = with_findings(
        lost,
        finding(Code.LOST, "a:b", circuit="one"),
        finding(Code.LOST, "a:b", circuit="two"),
        finding(Code.MISSING, "a:b", "lost a:b"),
    )
    roots = view_group(result, cwd=cwd).findings

    assert [root.follow for root in roots] == [("missing a:b",), ()]


def test_times_count_from_the_first_event_shown(lost: GroupResult, cwd: Path) -> None:
    story = view_group(lost, cwd=cwd).findings[0].events

    assert [event.t_ms for event in story] == [0.0, 1.25, None]
    assert [(event.unit, event.step, event.absent) for event in story] == [
        ("client", "sent", False),
        ("broker", "queued", False),
        ("host", "received", True),
    ]


def test_another_clock_gives_no_time(undecided: GroupResult, cwd: Path) -> None:
    story = view_group(undecided, cwd=cwd).findings[0].events

    assert [event.t_ms for event in story] == [0.0, None]


def test_a_place_with_alternatives_is_shown_as_it_was_written(lost: GroupResult, cwd: Path) -> None:
    result = with_findings(lost, finding(Code.LOST, "c1:sent|c2:sent", events=(12,)))
    story = view_group(result, cwd=cwd).findings[0].events

    assert (story[-1].unit, story[-1].step) == ("", "c1:sent|c2:sent")


def test_an_event_that_did_happen_is_not_called_absent(lost: GroupResult, cwd: Path) -> None:
    result = with_findings(lost, finding(Code.LOST, "client:sent", events=(12,)))

    assert not any(event.absent for event in view_group(result, cwd=cwd).findings[0].events)


def test_a_long_story_loses_its_middle(hostile: GroupResult, cwd: Path) -> None:
    story = view_group(hostile, cwd=cwd).findings[0].events
    happened = [event for event in story if not event.absent]

    assert len(happened) == MOST_EVENTS
    assert sum(event.skipped for event in story) == 39 - MOST_EVENTS


def test_an_exception_shows_its_traceback_rather_than_the_log(lost: GroupResult, cwd: Path) -> None:
    event: Event = lost.witnesses[12]._replace(meta={"traceback": "Traceback\nValueError: x\n"})
    raised = finding(Code.EXCEPTION, "host:ValueError", unit="host", events=(12,))
    result = with_findings(lost, raised)._replace(witnesses={12: event})
    shown = view_group(result, cwd=cwd).findings[0]

    assert (shown.source, shown.output) == ("traceback", ("Traceback", "ValueError: x"))


def test_of_a_fatal_error_the_beginning_is_shown(lost: GroupResult, cwd: Path) -> None:
    output = ("before", "Fatal Python error: Segmentation fault", "", *map(str, range(40)))
    host, *others = lost.ends
    result = lost._replace(ends=(host._replace(last_lines=output), *others))

    assert view_group(result, cwd=cwd).findings[0].output == output[1:13]


def test_a_failed_test_shows_its_traceback(hostile: GroupResult, cwd: Path) -> None:
    shown = view_group(hostile, cwd=cwd).findings[1]

    assert shown.source == "traceback"
    assert shown.output[0] == "Traceback"


def test_the_rerun_command_works_from_where_the_user_is() -> None:
    cwd = Path("/home/ada/shop")

    assert rerun_command(cwd / "groups" / "a b", cwd) == "testrium run 'groups/a b'"
    assert rerun_command(cwd, cwd) == "testrium run ."
    assert rerun_command(Path("/other/group"), cwd) == "testrium run /other/group"
    assert rerun_command(cwd / "-x", cwd) == "testrium run ./-x"


@pytest.mark.parametrize(
    ("run_dir", "rerun"),
    [
        ("/p/.testrium/runs/20260101-1/shop/a", "testrium replay 20260101-1"),
        # Runs of a search lie apart, and are not found.
        ("/p/.testrium/explore/runs/20260101-1/run-3", "testrium run groups/checkout"),
        ("/p/.testrium/generate/runs/20260101-1/example-3", "testrium run groups/checkout"),
    ],
)
def test_a_run_with_an_order_of_its_own_is_repeated_by_replay(
    lost: GroupResult, cwd: Path, run_dir: str, rerun: str
) -> None:
    explored = lost.scenario._replace(schedule=Schedule())
    result = lost._replace(scenario=explored, run_dir=Path(run_dir))
    assert view_group(result, cwd=cwd).rerun == rerun


def test_the_rerun_command_names_the_combination() -> None:
    command = rerun_command(Path("/project/g"), Path("/project"), {"browser": "a", "size": "1"})
    assert command == r"testrium run g --all-modes --grep '\[browser=a,size=1\]'"


def test_a_probe_that_did_not_say_its_process_has_none(lost: GroupResult, cwd: Path) -> None:
    witnesses = {id_: event._replace(pid=0) for id_, event in lost.witnesses.items()}
    view = view_group(lost._replace(witnesses=witnesses), cwd=cwd)

    assert {event.pid for event in view.findings[0].events} == {None}


@pytest.mark.parametrize(("lines", "shown", "end"), [(24, 24, "24"), (25, 25, "25"), (40, 25, "")])
def test_a_long_diff_is_cut_and_says_so(
    hostile: GroupResult, cwd: Path, lines: int, shown: int, end: str
) -> None:
    finding = Finding(Code.CHECK, "page", "differs")
    details = ("--- page.txt", *(str(number) for number in range(2, lines + 1)))
    result = hostile._replace(
        checks=(CheckResult("page", False, "differs", details),),
        judgement=Judgement(Verdict.FAIL, (finding,)),
    )
    (view,) = view_group(result, cwd=cwd).findings
    assert view.source == "difference"
    assert len(view.output) == shown
    assert view.output[:24] == details[:24]
    assert view.output[-1] == (end or f"… {lines - 24} more lines (see summary.json)")


def test_a_long_message_is_cut_and_not_shown_twice(lost: GroupResult, cwd: Path) -> None:
    rows = [f"row {number} differs" for number in range(1, 101)]
    message = "\n".join(("AssertionError: many", *rows))
    head = ("Traceback (most recent call last):", '  File "a.py", line 1, in test_a')
    traceback = "\n".join((*head, message))
    test = Test("test_a", False, 0.1, message=message, traceback=traceback)
    result = with_findings(lost, Finding(Code.TEST, "test_a", f"test_a failed: {message}"))
    (view,) = view_group(result._replace(tests=(test,)), cwd=cwd).findings
    assert view.message == "test_a failed: AssertionError: many"
    assert view.rest == (*rows[:24], "… 76 more lines (see summary.json)")
    assert view.output == (*head, "AssertionError: many")


@pytest.mark.parametrize(
    ("found", "place"),
    [
        (finding(Code.LATE, "a:b", circuit="c"), "config.toml:2"),
        (finding(Code.CHECK, "sum"), "config.toml:4"),
        (finding(Code.METRIC, "rows"), "config.toml:7"),
        (finding(Code.MISSING, "db:stored", unit="db", declared_as="events"), "units/db.toml:2"),
        (finding(Code.UNREADY, "db", unit="db", declared_as="ready"), "units/db.toml:4"),
        (finding(Code.UNREADY, "two", unit="two", declared_as="ready_event"), "units/two.toml:2"),
        (finding(Code.LIMIT, "db", unit="db", declared_as="max_cpu"), "units/db.toml:6"),
        (finding(Code.LIMIT, "db", unit="db", declared_as="timeout"), ""),
        (finding(Code.LATE, "a:b", circuit="gone"), ""),
        (finding(Code.CRASH, "db"), ""),
        (finding(Code.UNREADY, "gone", unit="gone", declared_as="ready"), ""),
    ],
)
def test_a_finding_names_where_that_is_declared_which_does_not_hold(
    lost: GroupResult, tmp_path: Path, found: Finding, place: str
) -> None:
    units = tmp_path / "shop/units"
    units.mkdir(parents=True)
    config = '[Configs]\n[[circuits]]\nname = "c"\n[[checks]]\nname = "sum"\n[metrics]\nrows = {}\n'
    (tmp_path / "shop/config.toml").write_text(config)
    keys = ("events = ['stored']", "stop_events = ['closed']", "ready = {ended = true}")
    limits = ("max_rss = 1", "max_cpu = 1", "command = ['x']")
    (units / "db.toml").write_text("\n".join(("[db]", *keys, *limits)))
    (units / "two.toml").write_text("[two]\nready-event = 'up'")
    group = replace(lost.scenario.group, folder=tmp_path / "shop")
    scenario = lost.scenario._replace(group=group)
    (view,) = view_group(
        with_findings(lost, found)._replace(scenario=scenario), cwd=tmp_path
    ).findings
    assert view.declared == (place and f"shop/{place}")
