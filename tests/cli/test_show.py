from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from testrium.cli.main import Common
from testrium.cli.stored_runs import show_command
from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode, UsageError
from testrium.report.json_report import RUN_FILE, write_report
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("testrium.cli.stored_runs.state_folder", lambda cwd: tmp_path)
    return tmp_path


def store(state: Path, run: str, *ids: str) -> None:
    def scenario(id_: str) -> Scenario:
        name, combination, _ = id_.partition("[")
        params = {"size": id_[-2]} if combination else {}
        return Scenario(id_, Group(name, state / name, ()), (), params=params)

    groups = tuple(GroupResult(scenario(id_), Verdict.PASS, duration_s=0.5) for id_ in ids)
    result = RunResult(run, Verdict.PASS, ExitCode.SUCCESS, 1.0, groups)
    write_report(result, state / "runs" / run / RUN_FILE)


def show(*arguments: str) -> Result:
    return CliRunner().invoke(
        show_command, arguments, obj=Common(), catch_exceptions=False, standalone_mode=False
    )


def test_the_last_run_is_shown(state: Path) -> None:
    store(state, "20261120-1", "old")
    store(state, "20261121-1", "hello", "far/away")

    assert show().output.splitlines() == [
        "PASS    hello       0.50 s",
        "PASS    far/away    0.50 s",
        "",
        "2 passed in 1.00 s",
        "run 20261121-1",
    ]
    assert "old" in show("20261120").output


def test_one_group_is_shown_with_all_that_is_known(state: Path) -> None:
    store(state, "20261121-1", "hello", "far/away")
    output = show("2026", "far/away").output

    assert output.startswith("PASS far/away  0.50 s\n")
    assert "hello" not in output


@pytest.mark.parametrize("arguments", [("hello",), ("last", "hello"), ("", "hello")])
def test_a_group_of_the_last_run_is_shown(state: Path, arguments: tuple[str, ...]) -> None:
    store(state, "20261120-1", "hello")
    store(state, "20261121-1", "hello", "far/away")

    assert show(*arguments).output.startswith("PASS hello  0.50 s\n")


def test_a_group_is_shown_from_the_last_run_that_has_it(state: Path) -> None:
    store(state, "20261119-1", "hello")
    store(state, "20261120-1", "hello", "old")
    store(state, "20261121-1", "far/away")

    notice, *rest = show("hello").output.splitlines()
    assert notice == "notice: hello was not in the last run: this is run 20261120-1"
    assert rest[0] == "PASS hello  0.50 s"
    with pytest.raises(UsageError, match="run 20261121-1 has no group 'hello'; known: far/away"):
        show("last", "hello")


def test_a_folder_of_one_group_stands_for_the_group(state: Path) -> None:
    store(state, "20261120-1", "far/away", "hello")
    store(state, "20261121-1", "shop/cart", "shop/search/index", "hello")

    for folder in ("far", "far/", str(state / "far")):
        assert "PASS far/away  0.50 s" in show(folder).output
    assert show(str(state / "shop/search")).output.startswith("PASS shop/search/index")
    with pytest.raises(UsageError) as caught:
        show("shop")
    assert str(caught.value) == (
        "run 20261121-1 has 2 groups below 'shop': give one of them: shop/cart, shop/search/index"
    )


def test_all_combinations_of_a_group_are_shown_by_its_name(state: Path) -> None:
    store(state, "20261121-1", "shop/cart[size=1]", "shop/cart[size=2]", "shopping")

    both = [f"PASS shop/cart[size={size}]  0.50 s" for size in (1, 2)]
    for name in ("shop/cart", str(state / "shop/cart"), "shop"):
        lines = show(name).output.splitlines()
        assert [line for line in lines if line.startswith("PASS")] == both
    assert show("shop/cart[size=2]").output.splitlines()[0] == both[1]


def test_the_last_run_has_a_name(state: Path) -> None:
    store(state, "20261120-1", "old")
    store(state, "20261121-1", "hello")

    assert show("last").output == show().output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2026", "helo"), "run 20261121-1 has no group 'helo'; did you mean 'hello'?"),
        (("2026", "zzz"), "run 20261121-1 has no group 'zzz'; known: far/away, hello"),
        (("helo",), "run 20261121-1 has no group 'helo'; did you mean 'hello'?"),
        (("2025",), "no run begins with '2025'; the latest are 20261121-1"),
    ],
)
def test_what_is_not_there_is_told(state: Path, arguments: tuple[str, ...], message: str) -> None:
    store(state, "20261121-1", "hello", "far/away")

    with pytest.raises(UsageError) as caught:
        show(*arguments)
    assert str(caught.value) == message
