"""From groups to results to be."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from testrium.declared.groups import Combination, Group
from testrium.declared.units import Unit
from testrium.plan import Machine, ResultKey, Selection, plan_scenarios

NOWHERE = Machine(has_program=lambda _: False, has_module=lambda _: False)


def group(id_: str = "g") -> Group:
    return Group(id_, Path("/project") / id_, (Unit("a", 0, "a.toml"),))


def test_one_group_is_one_scenario() -> None:
    (scenario,) = plan_scenarios([group()])
    assert scenario.id == scenario.folder_name == "g"
    assert (scenario.mode, scenario.repeat, scenario.skip) == ("DEBUG", 0, "")
    assert [unit.name for unit in scenario.units] == ["a"]


def test_order_then_id() -> None:
    groups = [group("b"), replace(group("c"), order=-1), group("a"), replace(group("d"), order=1)]
    assert [each.id for each in plan_scenarios(groups)] == ["c", "a", "b", "d"]


def test_modes_and_repeats() -> None:
    scenarios = plan_scenarios([replace(group(), test_modes=("DEBUG", "INFO"), repeat=1)])
    assert [(each.mode, each.repeat, each.folder_name) for each in scenarios] == [
        ("DEBUG", 0, "g@DEBUG"),
        ("DEBUG", 1, "g@DEBUG+1"),
        ("INFO", 0, "g@INFO"),
        ("INFO", 1, "g@INFO+1"),
    ]


@pytest.mark.parametrize(("repeat", "runs"), [(None, 3), (0, 1), (1, 2)])
def test_repeats_of_the_command_line_replace_those_of_the_group(
    repeat: int | None, runs: int
) -> None:
    scenarios = plan_scenarios([replace(group(), repeat=2)], repeat=repeat)
    assert [each.repeat for each in scenarios] == list(range(runs))


def test_only_enabled_units_in_their_order() -> None:
    units = (
        Unit("a", 0, "", dependencies=("c",)),
        Unit("b", 1, "", enabled=False),
        Unit("c", 2, ""),
    )
    (scenario,) = plan_scenarios([replace(group(), units=units)])
    assert [unit.name for unit in scenario.units] == ["c", "a"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"enabled": False, "skip": "later"}, "disabled (enabled = false)"),
        ({"skip": "later", "requires": ("psql",)}, "later"),
        ({"requires": ("psql", "x")}, "requires psql: not found on PATH"),
        ({"requires": ("python:numpy",)}, "requires python:numpy: no such Python module"),
        ({"requires": ("node:@a/b",)}, "requires node:@a/b: no such package of Node"),
    ],
)
def test_reasons_to_skip(changes: dict[str, object], reason: str) -> None:
    (scenario,) = plan_scenarios([replace(group(), **changes)], machine=NOWHERE)  # type: ignore[arg-type]  # checked by the dataclass
    assert scenario.skip == reason


@pytest.mark.parametrize(
    ("name", "is_there"),
    [
        ("sh", True),
        ("no-such-program", False),
        ("python:json", True),
        ("python:json.decoder", True),
        ("python:json.absent", False),
        ("python:os.path", True),
        ("python:sys.absent", False),
        ("python:no_such_module", False),
        ("python:no_such_module.sub", False),
    ],
)
def test_requirements_on_this_machine(name: str, is_there: bool) -> None:
    (scenario,) = plan_scenarios([replace(group(), requires=(name,))])
    assert (scenario.skip == "") is is_there


def test_packages_of_node_are_looked_for_as_node_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("node_modules/@a/b", "elsewhere/c"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "package.json").write_text("{}")
    monkeypatch.setenv("NODE_PATH", str(tmp_path / "elsewhere"))
    below = replace(group(), folder=tmp_path / "groups" / "x", requires=("node:@a/b", "node:c"))
    (scenario,) = plan_scenarios([below])
    assert scenario.skip == ""


@pytest.mark.parametrize(
    ("name", "is_there"),
    [("python:mine.inner", True), ("python:own", True), ("python:data", False), ("tool", True)],
)
def test_what_the_processes_of_a_group_find_is_there(
    tmp_path: Path, name: str, is_there: bool
) -> None:
    for file in ("lib/mine/inner.py", "bin/tool", "own.py", "data/x.csv"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch(0o755)
    folders = {"PYTHONPATH": "${group.dir}/lib:${env.PYTHONPATH}", "PATH": "${group.dir}/bin"}
    mine = replace(group(), folder=tmp_path, env=folders, requires=(name,))
    (scenario,) = plan_scenarios([mine])
    assert (scenario.skip == "") is is_there


def test_looking_a_module_up_does_not_import_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "looked_up"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "inner.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    (scenario,) = plan_scenarios([replace(group(), requires=("python:looked_up.inner",))])
    assert scenario.skip == ""
    assert "looked_up" not in sys.modules


def test_the_selection_is_applied() -> None:
    scenarios = plan_scenarios([group("a"), group("b")], Selection(less=("a",)))
    assert [each.id for each in scenarios] == ["b"]


SAFE = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~"


def folder_names(*ids: str) -> list[str]:
    return [each.folder_name for each in plan_scenarios(map(group, ids))]


def test_a_groups_folder_is_its_id() -> None:
    assert folder_names("shop/cart/pay", "hello") == ["hello", "shop/cart/pay"]


def test_folder_names_are_safe_and_unique() -> None:
    ids = ["a-b", "A-B", "a b", ".hidden", "../up", "é", "ü", "x" * 300, "a-b~2", "report.json"]
    names = folder_names(*ids)
    assert len({name.casefold() for name in names}) == len(ids)
    assert "report.json" not in names
    for name in names:
        for part in name.split("/"):
            assert 0 < len(part) < 120
            assert not part.startswith(".")
            assert not set(part) - set(SAFE)


def test_no_groups_folder_lies_in_another() -> None:
    assert folder_names("a", "a/b", "a/b/c", "d/e") == ["a", "a~2/b", "a~3/b/c", "d/e"]
    assert folder_names("a b/c", "a-b") == ["a-b/c", "a-b~2"]


MATRIX = (
    Combination({"browser": "a", "size": "1"}),
    Combination({"browser": "http://b", "size": "1"}),
    Combination({"browser": "a", "size": "2"}, primary=False),
)


def test_every_combination_is_a_result() -> None:
    scenarios = plan_scenarios([replace(group("shop/g"), matrix=MATRIX, repeat=1)])
    assert [(each.id, each.params, each.folder_name) for each in scenarios] == [
        (
            "shop/g[browser=a,size=1]",
            {"browser": "a", "size": "1"},
            "shop/g[browser=a,size=1]",
        ),
        (
            "shop/g[browser=a,size=1]",
            {"browser": "a", "size": "1"},
            "shop/g[browser=a,size=1]+1",
        ),
        (
            "shop/g[browser=http://b,size=1]",
            {"browser": "http://b", "size": "1"},
            "shop/g[browser=http-b,size=1]",
        ),
        (
            "shop/g[browser=http://b,size=1]",
            {"browser": "http://b", "size": "1"},
            "shop/g[browser=http-b,size=1]+1",
        ),
    ]


def test_what_is_not_primary_is_run_with_all_modes() -> None:
    scenarios = plan_scenarios([replace(group(), matrix=MATRIX)], Selection(all_modes=True))
    assert [each.id for each in scenarios][2] == "g[browser=a,size=2]"


def test_strict_makes_a_missing_requirement_an_error() -> None:
    groups = [replace(group(), requires=("psql",)), replace(group("h"), skip="x", requires=("y",))]
    needy, skipped = plan_scenarios(groups, strict=True, machine=NOWHERE)
    assert (needy.skip, needy.unmet) == ("", "requires psql: not found on PATH")
    assert (skipped.skip, skipped.unmet) == ("x", "")


def test_only_what_failed() -> None:
    groups = [
        replace(group("a"), test_modes=("DEBUG", "INFO")),
        replace(group("b"), matrix=MATRIX),
        group("c"),
    ]
    failed = frozenset(
        {
            ResultKey.of(Path("/project/a"), "INFO", {}),
            ResultKey.of(Path("/project/b"), "DEBUG", {"size": "2", "browser": "a"}),
        }
    )
    scenarios = plan_scenarios(groups, Selection(failed=failed))
    assert [(each.id, each.mode) for each in scenarios] == [
        ("a", "INFO"),
        ("b[browser=a,size=2]", "DEBUG"),
    ]
