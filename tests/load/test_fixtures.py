"""`Configs.fixtures`: which file each of them is, and what may stand in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testrium.plan.scenarios import plan_scenarios

if TYPE_CHECKING:
    from tests.load.conftest import Workspace

SERVER = '["db"]\ncommand = ["server", "${port.sql}"]\nports = ["sql"]\n'


def test_the_nearest_file_counts(workspace: Workspace) -> None:
    workspace.group('fixtures = ["db", "web"]', a="")
    workspace.write(
        {
            "fixtures/db.toml": '["db"]\ncommand = ["far"]\n',
            "fixtures/web.toml": '["web"]\ncommand = ["web"]\n',
            "g/fixtures/db.toml": '["db"]\ncommand = ["near"]\n',
        }
    )
    group = workspace.loaded()
    assert group.fixtures == ("db", "web")
    assert [(unit.name, unit.command) for unit in group.fixture_units] == [
        ("fixture.db", ("near",)),
        ("fixture.web", ("web",)),
    ]
    assert group.fixture_units[0].folder == workspace.folder / "g/fixtures"


def test_what_is_left_out(workspace: Workspace) -> None:
    workspace.group('fixtures = ["db"]', a="")
    workspace.write({"fixtures/db.toml": SERVER})
    (fixture,) = workspace.loaded().fixture_units
    assert (fixture.scope, fixture.restarts, fixture.stop, fixture.quiet) == (
        "run",
        1,
        "runner",
        True,
    )


def test_a_fixture_has_what_the_project_gives_to_all_processes(workspace: Workspace) -> None:
    workspace.group('fixtures = ["db"]', a="")
    workspace.write(
        {
            "testrium.toml": """
                pythonpath = ["lib"]
                [env]
                LEVEL = "${property.level}"
                OWN = "of the project"
                GROUPS_OWN = "${unit.a.port.http}"
                [properties]
                level = "high"
                patience = 4
                """,
            "lib/in_lib.py": "def main(): ...",
            "fixtures/db.toml": """
                ["db"]
                entrypoint = "in_lib:main"
                ready = {log = "up ${property.level}"}
                ready_timeout = "${property.patience}"
                env = {OWN = "${property.level}"}
                """,
        }
    )
    (fixture,) = workspace.loaded().fixture_units
    assert fixture.ready_timeout_s == 4
    assert fixture.env == {
        "PYTHONPATH": fixture.env["PYTHONPATH"],
        "LEVEL": "${property.level}",
        "OWN": "${property.level}",
    }
    workspace.write({"fixtures/db.toml": '["db"]\ncommand = ["x", "${param.n}", "${property.m}"]'})
    assert workspace.problems() == [
        "fixtures/db.toml:2: command: ${param.n}: the group has no [matrix] with parameters",
        "fixtures/db.toml:2: command: unknown variable ${property.m}",
    ]


def test_a_misspelled_main_table_is_one_mistake(workspace: Workspace) -> None:
    workspace.group(a="")
    config = """
        [config]
        units = ["a"]
        fixtures = ["db"]
        [[circuits]]
        name = "way"
        route = ["fixture.db:ready", "a:got"]
        [verify]
        allow = ["fixture.db"]
        """
    workspace.write({"g/config.toml": config, "fixtures/db.toml": SERVER})
    assert workspace.problems() == [
        "g/config.toml:1: config: unknown table; did you mean [Configs]?"
    ]


def test_every_unit_waits_for_all_fixtures(workspace: Workspace) -> None:
    workspace.group('fixtures = ["db"]', a="", b='unit_dependencies = ["a"]')
    workspace.write({"fixtures/db.toml": SERVER})
    (scenario,) = plan_scenarios([workspace.loaded()])
    assert {unit.name: unit.dependencies for unit in scenario.units} == {
        "fixture.db": (),
        "a": ("fixture.db",),
        "b": ("a", "fixture.db"),
    }


def test_a_group_without_fixtures_has_none_whatever_lies_there(workspace: Workspace) -> None:
    workspace.group("", a="")
    workspace.write({"fixtures/db.toml": "broken"})
    assert workspace.loaded().fixture_units == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('["db"]\n', "1: db: needs an entrypoint or a command"),
        ('["db"]\ncommand = ["a"]\nentrypoint = "a:b"', "2: command: conflicts with"),
        (SERVER + 'scop = "run"', "4: scop: unknown key; did you mean 'scope'?"),
        (SERVER + "init = 1", "4: init: unknown key"),
        (SERVER + 'scope = "module"', "4: scope: must be one of: run, group"),
        (SERVER + 'cwd = "${port.sq}"', "4: cwd: unknown variable ${port.sq}; did you mean"),
        (SERVER + "max_cpu = 5", "4: max_cpu: belongs to scope = 'group'"),
        (SERVER + 'scope = "group"\nrestarts = 2', "5: restarts: belongs to scope = 'run'"),
        (SERVER + "exit = [3]", "4: exit: belongs to stop = 'self'"),
        (SERVER + 'stop = "self"', "4: stop: a command that ends by itself needs ready_event"),
        ('["dc"]\ncommand = ["a"]', '1: dc: the table must be named like the file: ["db"]'),
        ('["db"]\nentrypoint = "nothing:main"', "2: entrypoint: "),
    ],
)
def test_what_is_wrong_in_its_file(workspace: Workspace, text: str, problem: str) -> None:
    workspace.group('fixtures = ["db"]', a="")
    workspace.write({"fixtures/db.toml": text})
    assert any(line.startswith(f"fixtures/db.toml:{problem}") for line in workspace.problems()), (
        workspace.problems()
    )


def test_one_that_is_not_there(workspace: Workspace) -> None:
    workspace.group('fixtures = ["dbb"]', a="")
    workspace.write({"fixtures/db.toml": SERVER})
    (problem,) = workspace.problems()
    missing = "no file fixtures/dbb.toml here or in a folder above"
    assert problem == f"g/config.toml:3: fixtures: {missing}; did you mean 'db'?"


def test_what_units_may_say_of_it(workspace: Workspace) -> None:
    text = "${fixture.db.port.sql} ${fixture.db.value.url}"
    workspace.group(
        'fixtures = ["db"]\n[env]\nDB = "${fixture.db.port.sql}"', a=f'command = ["{text}"]'
    )
    workspace.write({"fixtures/db.toml": SERVER + 'ready_event = "up"'})
    assert workspace.loaded().fixture_units[0].ready_event == "up"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${fixture.db.port.sqll}", "did you mean 'fixture.db.port.sql'?"),
        ("${fixture.db.value.url}", "fixtures/db.toml has no ready_event"),
        ("${fixture.web.port.http}", "unknown variable ${fixture.web.port.http}"),
    ],
)
def test_what_units_may_not_say_of_it(workspace: Workspace, text: str, problem: str) -> None:
    workspace.group('fixtures = ["db"]', a=f'command = ["{text}"]')
    workspace.write({"fixtures/db.toml": SERVER})
    (found,) = workspace.problems()
    assert found.startswith("g/units/a.toml:3: command: ")
    assert problem in found


@pytest.mark.parametrize(
    ("tables", "problem"),
    [
        ('[[circuits]]\nname = "c"\nroute = ["fixture.db:made"]', "only the ready_event (up) is"),
        ('[[circuits]]\nname = "c"\nroute = ["fixture.dc:up"]', "did you mean 'fixture.db'?"),
        ('[[faults]]\nat = "fixture.db:up"\ndo = "kill"', "groups share it: break a link"),
        ('[[faults]]\nunit = "fixture.db"\ndo = "clock"\nvalue = "+1h"', "groups share it"),
        ('[[faults]]\nlink = "fixture.db.sq"\ndo = "cut"', "did you mean 'fixture.db.sql'?"),
        ('[[checks]]\nname = "c"\nlog = "fixture.dc"\nlacks = "x"', "mean 'fixture.db'?"),
        ('[env]\nURL = "${fixture.db.value.url}"', "cannot be used here"),
        ('[[monitor]]\nname = "fixture.db"\npid = 1', "is the name of a unit"),
    ],
)
def test_what_tables_may_not_say_of_it(workspace: Workspace, tables: str, problem: str) -> None:
    workspace.group('fixtures = ["db"]\n' + tables, a="")
    workspace.write({"fixtures/db.toml": SERVER + 'ready_event = "up"'})
    (found,) = workspace.problems()
    assert found.startswith("g/config.toml:")
    assert problem in found


@pytest.mark.parametrize(
    "tables",
    [
        '[[circuits]]\nname = "c"\nroute = ["fixture.db:made"]',
        '[[faults]]\nat = "fixture.db:up"\ndo = "kill"',
        '[[faults]]\nlink = "fixture.db.sql"\ndo = "cut"',
    ],
)
def test_one_of_the_group_alone_is_like_a_unit(workspace: Workspace, tables: str) -> None:
    workspace.group('fixtures = ["db"]\n' + tables, a="")
    keys = 'ready_event = "up"\nscope = "group"'
    workspace.write({"fixtures/db.toml": SERVER + keys})
    assert workspace.loaded().fixture_units[0].scope == "group"


def test_a_function_tells_what_it_returns(workspace: Workspace) -> None:
    workspace.group('fixtures = ["db"]', a='command = ["${fixture.db.value.url}"]')
    files = {"fixtures/db.toml": '["db"]\nentrypoint = "db:main"\nstop = "self"\nexit = [0, 3]'}
    workspace.write(files | {"fixtures/db.py": "def main(): ..."})
    (fixture,) = workspace.loaded().fixture_units
    assert (fixture.stop, fixture.ready_event, fixture.exit) == ("self", "returned", (0, 3))


def test_a_unit_need_not_say_that_it_depends_on_it(workspace: Workspace) -> None:
    workspace.group('fixtures = ["db"]', a='unit_dependencies = ["fixture.db"]')
    workspace.write({"fixtures/db.toml": SERVER})
    (problem,) = workspace.problems()
    assert problem.endswith("list it in Configs.fixtures, all units start after these")


def test_a_unit_with_its_name(workspace: Workspace) -> None:
    workspace.write(
        {
            "g/config.toml": '[Configs]\nunits = ["fixture.db"]\nfixtures = ["db"]',
            "g/units/fixture.db.toml": '["fixture.db"]\ninit = 0',
            "fixtures/db.toml": SERVER,
        }
    )
    assert workspace.problems() == [
        "g/config.toml:3: fixtures: a unit is called 'fixture.db', as this fixture is in reports"
    ]
