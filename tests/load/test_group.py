"""Groups that are described rightly, and what their defaults come to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from testrium.declared.circuits import Circuit, Hop, Rules
from testrium.declared.groups import Group
from testrium.declared.units import LogProbe, Readiness, Unit
from testrium.load.test_functions import unrun_tests
from testrium.load.units import folders_never_made, what_is_missing
from testrium.loaded_by_name import PLUGIN_UNIT
from testrium.plan.scenarios import plan_scenarios
from testrium.words import EventType, Place

if TYPE_CHECKING:
    from tests.load.conftest import Workspace


def unit(group: Group, name: str) -> Unit:
    return next(each for each in group.units if each.name == name)


def test_a_group_with_nothing_but_a_unit_has_the_defaults_of_the_contract(
    workspace: Workspace,
) -> None:
    workspace.group(a="")
    group = workspace.loaded()
    assert group == Group(
        id="g",
        folder=workspace.folder / "g",
        units=(Unit("a", 0, "g/units/a.toml"),),
        rules=Rules(orphans="forbid"),
    )


def test_every_key_of_configs(workspace: Workspace) -> None:
    workspace.group(
        """
        enabled = false
        timeout = 2.5
        repeat = 3
        debug_modes = ["INFO", "DEBUG"]
        test-modes = "All"
        diagnostics = false
        detect_bad_behavior = false
        save-resume = false
        gen-metrics = false
        save_metrics = false
        save-scores = false
        use-ai = false
        title = "T"
        purpose = "P"
        tags = ["smoke", "slow"]
        requirements = ["R-1"]
        skip = "later"
        requires = ["psql", "python:numpy"]
        expect-fail = "known"
        order = -1
        exclusive = true
        inherit-env = false
        [env]
        LEVEL = "${mode}"
        """,
        a="",
    )
    group = workspace.loaded()
    assert (group.enabled, group.timeout_s, group.repeat) == (False, 2.5, 3)
    assert group.debug_modes == group.test_modes == ("INFO", "DEBUG")
    assert not any(
        (
            group.diagnostics,
            group.detect_bad_behavior,
            group.save_resume,
            group.gen_metrics,
            group.save_metrics,
            group.save_scores,
            group.use_ai,
            group.inherit_env,
        )
    )
    assert (group.title, group.purpose, group.tags) == ("T", "P", ("smoke", "slow"))
    assert (group.requirements, group.requires) == (("R-1",), ("psql", "python:numpy"))
    assert (group.skip, group.expect_fail) == ("later", "known")
    assert (group.order, group.exclusive) == (-1, True)
    assert group.env == {"LEVEL": "${mode}"}
    assert group.notices == ()


def test_every_key_of_a_unit(workspace: Workspace) -> None:
    workspace.write({"g/setup.py": "def main(): pass"})
    workspace.group(
        db="ports = ['sql']",
        api=r"""
        command = ["serve", "--port", "${port.http}", "--db", "${unit.db.port.sql}"]
        cwd = "${run.dir}"
        env = {TOKEN = "${probe.db.ready.token}"}
        ports = ["http"]
        events = ["ready"]
        stop-events = ["flushed"]
        ready = {http = "http://127.0.0.1:${port.http}/", status = 204}
        ready_timeout = 3
        timeout = 60
        unit_dependencies = ["db"]
        use-setup = true
        stop = "self"
        stop_signal = "SIGINT"
        grace = 0.5
        exit = [0, 3]
        in_except = "Reload"
        restarts = 4
        quiet = false
        max_rss = "1.5MiB"
        max_cpu = 150
        [["api".probes]]
        log = 'job (?P<id>\w+) in (?P<ms>\d+) ms$'
        step = "stored"
        type = "Send"
        key = "${id}"
        meta = {took = "${ms} ms"}
        """,
    )
    assert unit(workspace.loaded(), "api") == Unit(
        name="api",
        init=1,
        file="g/units/api.toml",
        command=("serve", "--port", "${port.http}", "--db", "${unit.db.port.sql}"),
        cwd="${run.dir}",
        env={"TOKEN": "${probe.db.ready.token}"},
        ports=("http",),
        events=("ready",),
        stop_events=("flushed",),
        ready=(Readiness(http="http://127.0.0.1:${port.http}/", status=204),),
        ready_timeout_s=3,
        timeout_s=60,
        dependencies=("db",),
        use_setup=True,
        stop="self",
        stop_signal="INT",
        grace_s=0.5,
        exit=(0, 3),
        in_except="Reload",
        restarts=4,
        quiet=False,
        max_rss=1_572_864,
        max_cpu=150,
        probes=(
            LogProbe(
                r"job (?P<id>\w+) in (?P<ms>\d+) ms$",
                "stored",
                EventType.SEND,
                "${id}",
                {"took": "${ms} ms"},
            ),
        ),
    )


def test_a_unit_that_an_enabled_one_depends_on_is_a_service(workspace: Workspace) -> None:
    workspace.group(
        db="",
        cache="stop = 'self'",
        api="unit_dependencies = ['db', 'cache']",
        old="",
        off="enabled = false\nunit_dependencies = ['old']",
    )
    group = workspace.loaded()
    assert {each.name: each.stop for each in group.units} == {
        "db": "runner",
        "cache": "self",
        "api": "self",
        "old": "self",
        "off": "self",
    }


@pytest.mark.parametrize(
    ("text", "quiet"),
    [("", False), ("command = ['true']", True), ("command = ['true']\nquiet = false", False)],
)
def test_commands_are_quiet(workspace: Workspace, text: str, quiet: bool) -> None:
    workspace.group(a=text)
    assert workspace.loaded().units[0].quiet is quiet


@pytest.mark.parametrize(
    ("in_except", "restarts"), [("Stop", 0), ("Resume", 0), ("Reload", 1), ("Resume-ALL", 1)]
)
def test_restarts(workspace: Workspace, in_except: str, restarts: int) -> None:
    workspace.group(a=f"in-except = '{in_except}'")
    assert workspace.loaded().units[0].restarts == restarts


@pytest.mark.parametrize(
    ("text", "modes"),
    [
        ("", ("DEBUG",)),
        ("test-modes = 'INFO'", ("INFO",)),
        ("test-modes = ['INFO', 'EXCEPT']", ("INFO", "EXCEPT")),
        ("test-modes = 'All'", ("DEBUG", "INFO", "WARNING", "EXCEPT")),
        ("debug-modes = ['WARNING', 'INFO']", ("WARNING",)),
    ],
)
def test_modes(workspace: Workspace, text: str, modes: tuple[str, ...]) -> None:
    workspace.group(text, a="")
    assert workspace.loaded().test_modes == modes


def test_circuits_and_rules(workspace: Workspace) -> None:
    workspace.group(
        """
        [verify]
        settle = "0ms"
        linger = "1.5s"
        allow = ["a:TimeoutError", "*:KeyError"]
        stderr = "forbid"

        [[circuits]]
        name = "command"
        route = ["a:sent{1,3}", ["b:stored", "b:logged"], "a:done|a:rejected"]
        keys = "0..5"
        within = "200ms"
        p50 = "10us"
        p95 = "1s"
        p99 = "1m"
        same = ["sha256"]
        never = ["b:rollback"]
        fifo = true
        open = true

        [[circuits]]
        name = "start"
        route = ["a:up"]
        keys = 1
        per = "run"
        """,
        a="",
        b="",
    )
    group = workspace.loaded()
    assert group.rules == Rules(
        settle_ns=0,
        allow=(Place("a", "TimeoutError"), Place("*", "KeyError")),
        linger_ns=1_500_000_000,
        stderr="forbid",
        orphans="allow",
    )
    assert group.circuits == (
        Circuit(
            name="command",
            stages=(
                (Hop("a:sent", (Place("a", "sent"),), 1, 3),),
                (
                    Hop("b:stored", (Place("b", "stored"),)),
                    Hop("b:logged", (Place("b", "logged"),)),
                ),
                (Hop("a:done|a:rejected", (Place("a", "done"), Place("a", "rejected"))),),
            ),
            keys=(0, 5),
            within_ns=200_000_000,
            p50_ns=10_000,
            p95_ns=1_000_000_000,
            p99_ns=60_000_000_000,
            same=("sha256",),
            never=(Hop("b:rollback", (Place("b", "rollback"),)),),
            fifo=True,
            open=True,
        ),
        Circuit("start", ((Hop("a:up", (Place("a", "up"),)),),), (1, 1), per="run"),
    )


def test_orphans_can_be_forbidden_beside_a_circuit(workspace: Workspace) -> None:
    workspace.group(
        """
        [verify]
        orphans = "forbid"
        [[circuits]]
        name = "c"
        route = ["a:x"]
        """,
        a="",
    )
    assert workspace.loaded().rules.orphans == "forbid"


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("", False),
        ("def unit(): pass", False),
        ("from testrium.common.utils import test_config", False),
        ("def test_x(): pass", True),
        ("async def test_x(): pass", True),
        ("if True:\n    def test_x(): pass", True),
        ("def tests_results(data): pass", True),
        ("from somewhere import validate_test", True),
        ("from somewhere import *", True),
        ("globals()['test_x'] = print", True),
        ("def unit():\n    def test_inner(): pass", False),
    ],
)
def test_whether_there_are_tests(workspace: Workspace, code: str, modules: bool) -> None:
    workspace.group(a="")
    workspace.write({"g/test_case.py": code})
    assert bool(workspace.loaded().test_modules) is modules


def test_setup_and_teardown(workspace: Workspace) -> None:
    workspace.group(a="")
    workspace.write({"g/setup.py": "def main(): pass", "g/teardown.py": "from x import main"})
    group = workspace.loaded()
    assert (group.has_setup, group.has_teardown, group.test_modules) == (True, True, ())


def test_old_spellings_work_with_a_notice(workspace: Workspace) -> None:
    workspace.group(
        "analitics = false\nsave_analitics = false\nsave-performance = false",
        a="",
        b="unity_depencies = ['a']",
    )
    group = workspace.loaded()
    assert not any((group.gen_metrics, group.save_metrics, group.save_scores))
    assert unit(group, "b").dependencies == ("a",)
    assert list(map(str, group.notices)) == [
        "g/config.toml:3: analitics: is an old spelling of 'gen-metrics'",
        "g/config.toml:4: save_analitics: is an old spelling of 'save-metrics'",
        "g/config.toml:5: save-performance: is an old spelling of 'save-scores'",
        "g/units/b.toml:3: unity_depencies: is an old spelling of 'unit_dependencies'",
    ]


def test_restarts_that_have_no_effect_are_a_notice(workspace: Workspace) -> None:
    workspace.group(a="restarts = 2")
    assert list(map(str, workspace.loaded().notices)) == [
        "g/units/a.toml:3: restarts: has no effect with in-except = 'Stop'"
    ]


def test_all_cases_of_the_corpus_that_are_supported_load(
    pytestconfig: pytest.Config, workspace: Workspace
) -> None:
    from testrium.load import load_groups

    cases = pytestconfig.rootpath / "tests" / "corpus" / "cases"
    folders = [
        folder
        for folder in sorted(cases.iterdir())
        if "[[faults]]" not in (folder / "config.toml").read_text()
    ]
    assert len(folders) > 55
    groups = load_groups(folders, cwd=workspace.folder)
    assert [group.id for group in groups] == [folder.name for folder in folders]
    noticed = {group.id for group in groups if group.notices}
    assert noticed == {"F36_vacuous_typo"}


def test_a_test_class_in_a_module_names_the_suites(workspace: Workspace) -> None:
    workspace.group(a='entrypoint = "test_case:a"')
    more = (
        "import unittest\nclass Cases(unittest.TestCase): pass\n"
        "class TestMore:\n    def test_x(self): pass\nclass TestClient:\n    pass\n"
    )
    workspace.write({"g/test_case.py": "def a(): pass\n", "g/more.py": more})
    first, second = workspace.problems()
    assert first.startswith("g/more.py:2: Cases: a test class needs a suite")
    assert "unittest" in first
    assert second.startswith("g/more.py:3: TestMore:")
    assert "pytest" in second


def test_inherited_tests_and_a_callback_written_twice_are_mistakes(workspace: Workspace) -> None:
    workspace.group(a='entrypoint = "test_case:a"')
    more = (
        "class Base:\n    def test_x(self): pass\nclass TestMore(Base): pass\n"
        "def tests_results(data): pass\ndef tests_results(data): pass\n"
        "try:\n    def validate_test(name): pass\nexcept OSError:\n"
        "    def validate_test(name): pass\n"
    )
    workspace.write({"g/test_case.py": "def a(): pass\n", "g/more.py": more})
    first, second = workspace.problems()
    assert first.startswith("g/more.py:3: TestMore: a test class needs a suite")
    assert second == (
        "g/more.py:5: tests_results: is defined in line 4 too: keep one of the two callbacks"
    )


def test_a_test_class_is_found_behind_a_name_and_a_condition(workspace: Workspace) -> None:
    workspace.group(a='entrypoint = "test_case:a"')
    more = (
        "from unittest import TestCase as Base\nimport sys, unittest as u\n"
        "Other = u.TestCase\nclass One(Base): pass\nclass Two(Other): pass\n"
        "if sys.platform:\n    class TestMore:\n        def test_x(self): pass\n"
    )
    workspace.write({"g/test_case.py": "def a(): pass\n", "g/more.py": more})
    starts = [problem.partition(": a test class")[0] for problem in workspace.problems()]
    assert starts == ["g/more.py:4: One", "g/more.py:5: Two", "g/more.py:7: TestMore"]


def test_a_module_of_tests_that_is_no_python_is_refused(workspace: Workspace) -> None:
    workspace.group(a='entrypoint = "test_case:a"')
    workspace.write(
        {
            "g/test_case.py": "def a(): pass\n",
            "g/data.py": "print 'of Python 2'\n",
            "g/more.py": "def test_x(:\n    pass\n",
        }
    )
    (problem,) = workspace.problems()
    assert problem.startswith("g/more.py:1: Python syntax error")


def test_two_callbacks_of_one_name_are_refused(workspace: Workspace) -> None:
    callback = "def validate_test(name): pass\n"
    workspace.group(a='entrypoint = "test_case:a"')
    workspace.write({"g/test_case.py": "def a(): pass\n" + callback, "g/more.py": callback})
    (problem,) = workspace.problems()
    assert problem.startswith("g/more.py:1: validate_test: is defined in test_case.py too")


def test_a_generator_that_would_never_run_is_told_where_it_is_written(
    workspace: Workspace,
) -> None:
    never = "is a generator, whose body would not run: take out the `yield` in line"
    workspace.group(a='entrypoint = "test_case:a"', b='entrypoint = "test_case:b"')
    workspace.write(
        {
            "g/test_case.py": """
                import functools
                async def a():
                    for n in range(3):
                        yield n
                def b():
                    def inner(): yield
                    return [*inner()], lambda: (yield)
                def tests_results(data):
                    yield from data
                @functools.cache
                def validate_test(name):
                    yield
                def test_it(): yield
                """,
            "g/setup.py": "def main():\n    yield 1\n    yield 2\n",
            "g/teardown.py": "def main(how): ...\n",
        }
    )
    assert workspace.problems() == [
        f"g/setup.py:1: main: {never} 2",
        "g/teardown.py:1: main: needs arguments: how",
        f"g/test_case.py:8: tests_results: {never} 9",
        f"g/units/a.toml:3: entrypoint: 'a' of module 'test_case' {never} 4",
    ]


def test_a_program_and_a_folder_that_are_not_there_are_told(workspace: Workspace) -> None:
    workspace.group(a="command = ['uvicrn-x']", b="command = ['true']\ncwd = 'nowhere'", c="")
    assert list(map(str, what_is_missing(workspace.loaded(), workspace.folder))) == [
        (
            "g/units/a.toml:3: command: 'uvicrn-x': no such program on PATH: install it,"
            " or name it in Configs.requires"
        ),
        (
            "g/units/b.toml:4: cwd: 'nowhere': no such folder: make it,"
            " or give a path below the group's folder"
        ),
    ]


@pytest.mark.parametrize(
    ("config", "b", "setup", "told"),
    [
        ("", "cwd = 'new'", False, True),
        ("", "cwd = '.'", False, False),
        ("", f"cwd = '{'x' * 300}'", False, True),
        ("", "cwd = '../new'", False, False),
        ("", "cwd = '${run.dir}'", False, False),
        ("", "cwd = 'new'\nenabled = false", False, False),
        ("", "cwd = 'new'\nunit_dependencies = ['a']", False, False),
        ("", "cwd = 'new'", True, False),
        ("skip = 'later'", "cwd = 'new'", False, False),
    ],
)
def test_a_folder_that_nothing_can_make_keeps_the_run_from_starting(
    workspace: Workspace, config: str, b: str, setup: bool, told: bool
) -> None:
    workspace.group(config, a="command = ['true']", b=f"command = ['true']\n{b}")
    if setup:
        workspace.write({"g/setup.py": "def main(): ..."})
    (scenario,) = plan_scenarios([workspace.loaded()])
    keys = [problem.key for problem in folders_never_made([scenario], workspace.folder)]
    assert keys == ["cwd"] * told
    missing = what_is_missing(workspace.loaded(), workspace.folder)
    assert [problem.key for problem in missing] == ["cwd"] * (told or "../new" in b)


def test_a_group_of_a_lower_order_may_make_a_folder(workspace: Workspace) -> None:
    workspace.group(a="command = ['true']\ncwd = 'new'")
    (scenario,) = plan_scenarios([workspace.loaded()])
    earlier, later = (
        scenario._replace(group=replace(scenario.group, order=order, units=units))
        for order, units in ((-1, ()), (0, scenario.group.units))
    )
    assert len(list(folders_never_made([later], workspace.folder))) == 1
    assert list(folders_never_made([earlier, later], workspace.folder)) == []


def test_the_project_gives_variables_and_folders_of_code(workspace: Workspace) -> None:
    project = "pythonpath = ['lib']\n[env]\nMODE = 'x'\nOWN = 'project'"
    workspace.write({"testrium.toml": project, "lib/words.py": ""})
    workspace.group("[env]\nOWN = 'group'", a="")
    env = workspace.loaded().env
    assert (env["MODE"], env["OWN"]) == ("x", "group")
    assert env["PYTHONPATH"].split(":")[0] == str(workspace.folder / "lib")


def test_a_group_of_test_functions_needs_no_units(workspace: Workspace) -> None:
    workspace.group()
    (workspace.folder / "g/units").mkdir()
    assert workspace.problems() == [
        (
            "g/config.toml:2: units: must not be empty, as the group has no test functions:"
            " testrium gen unit NAME adds a unit"
        )
    ]
    workspace.write({"g/test_case.py": "def test_it():\n    pass\n"})
    assert workspace.loaded().units == ()


def test_a_kind_and_a_readiness_of_the_project_are_called_by_name(workspace: Workspace) -> None:
    workspace.write(
        {
            "testrium.toml": """
                [plugins.units]
                echo = "tools:Echo"
                [plugins.readiness]
                port-open = "tools:is_open"
            """,
            "tools.py": "class Echo: ...\ndef is_open(): ...\n",
        }
    )
    workspace.group(a="kind = 'echo'", b="command = ['true']\nready = {plugin = 'port-open'}")
    a, b = workspace.loaded().units
    assert (a.kind, a.entrypoint) == (None, PLUGIN_UNIT)
    assert any("tools:Echo" in value for value in a.env.values())
    assert "tools:is_open" in " ".join(b.ready[0].command)
    workspace.group(a="kind = 'ecko'", b="command = ['true']\nready = {plugin = 'port'}")
    kind, ready = workspace.problems()
    assert "pytest, unittest, doctest, manual, echo; got 'ecko'; did you mean 'echo'?" in kind
    assert "must be one of: port-open; got 'port'" in ready


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def check_z(): ...", "check_z"),
        ("def Test_z(): ...", "Test_z"),
        ("def testZ(): ...", "testZ"),
        ("def orders_test(): ...", "orders_test"),
        ("if True:\n    async def check_z(): ...", "check_z"),
        ("def test_z(): ...", ""),
        ("def _check_z(): ...", ""),
        ("def checker(): ...", ""),
        ("def latest(): ...", ""),
        ("def check_z(): ...\ndef test_z(): check_z()", ""),  # it is called
        ("def check_unit(): ...", ""),  # an entrypoint
        ("@wrapped\ndef check_z(): ...", ""),
        ("def validate_test(name): ...", ""),
        ("def tests_results(data): ...", ""),
        ("class A:\n    def check_z(self): ...", ""),
    ],
)
def test_a_function_that_looks_like_a_test_and_is_never_run(
    workspace: Workspace, code: str, found: str
) -> None:
    workspace.group(u='entrypoint = "units_code:check_unit"')
    workspace.write({"g/units_code.py": "def check_unit(): ...", "g/more.py": code})
    problems = list(unrun_tests(workspace.loaded(), workspace.folder))
    assert [problem.key for problem in problems] == ([found] if found else [])
    assert {(problem.file, problem.line) for problem in problems} <= {
        ("g/more.py", 1),
        ("g/more.py", 2),
    }


def test_a_module_of_a_suite_may_hold_what_looks_like_a_test(workspace: Workspace) -> None:
    workspace.group(s='kind = "unittest"\npaths = ["more.py"]')
    workspace.write({"g/more.py": "def check_z(): ..."})
    assert list(unrun_tests(workspace.loaded(), workspace.folder)) == []
