"""`[[checks]]`: what is read, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testrium.declared.checks import Check, Normalizer
from testrium.plugins.registry import Plugin, load_plugin

from .conftest import Workspace

UNITS = {
    "a": 'command = ["true"]\nports = ["http"]',
    "off": 'command = ["true"]\nenabled = false',
    "other": "",
}


def checks(text: str) -> str:
    return f'\n[[checks]]\nname = "c"\n{text}\n'


def test_a_check_is_read(workspace: Workspace) -> None:
    workspace.group(
        checks(
            'log = "a"\ncontains = "x"\ncount = ">= 2"\nignore = ["y"]\n'
            'golden = "g.txt"\nnormalize = ["number", {sub = "a", by = "b"}]\nunordered = true'
        )
        + '[[checks]]\nname = "d"\njson = "${run.dir}/x"\nat = "a[0]"\nequals = false\n'
        + '[[checks]]\nname = "e"\nvalue = "${probe.a.up.port}"\nexpect = "value > 3"\n'
        + '[[checks]]\nname = "f"\nabsent = "${unit.a.port.http}"\n'
        + '[[checks]]\nname = "g"\nlog = "tests"\nlacks = "$$HOME"\n',
        a=UNITS["a"],
    )
    assert workspace.loaded().checks == (
        Check(
            "c",
            log="a",
            contains=("x",),
            counted=(">=", 2),
            ignore=("y",),
            golden="g.txt",
            normalize=(Normalizer("number"), Normalizer("", "a", "b")),
            unordered=True,
        ),
        Check("d", json="${run.dir}/x", at="a[0]", equals=(False,)),
        Check("e", value="${probe.a.up.port}", expect=("value > 3",)),
        Check("f", absent="${unit.a.port.http}"),
        Check("g", log="tests", lacks=("$$HOME",)),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "4: checks[1]: has no subject: give one of log, file, json, exists, absent, value"),
        (
            'log = "a"\nfile = "x"\nlast = "y"',
            "7: checks[1].file: conflicts with 'log': remove one of them",
        ),
        ('log = "b"\nlast = "y"', "6: checks[1].log: unknown unit 'b'"),
        ('log = "ohter"\nlast = "y"', "checks[1].log: unknown unit 'ohter'; did you mean 'other'?"),
        ('log = "off"\nlast = "y"', "'off' is not enabled, so it writes no log"),
        ('log = "other"\nlast = "y"', "'other' has no process of its own, so it writes no log"),
        ('log = "teardown"\nlast = "y"', "teardown.py runs only after the checks"),
        ('log = "a"', "4: checks[1]: has no condition: give one of contains, lacks, sequence"),
        ('file = "a"', "(to see that the file is there: exists)"),
        (
            'exists = "x"\ncontains = "y"',
            "contains: does not apply to 'exists': remove it",
        ),
        (
            'log = "a"\nlast = "x("',
            "7: checks[1].last: 'x(', column 2: invalid regular expression:",
        ),
        ('log = "a"\nlacks = ["y", "[z"]', "checks[1].lacks: '[z', column 1: invalid regular"),
        ('log = "a"\nlast = "${unit.a.port.htp}"', "unknown variable ${unit.a.port.htp}"),
        ('log = "a"\nlast = "${unit.dir}"', "unknown variable ${unit.dir}"),
        ('value = "${probe.b.x.y}"\nequals = 1', "${probe.b.x.y}: 'b' is not a unit of this group"),
        ('value = "${probe.a.x}"\nequals = 1', "must have the form ${probe.UNIT.STEP.FIELD}"),
        ('json = "x"\nat = "a..b"', "7: checks[1].at: 'a..b', column 2: expected a path"),
        ('file = "x"\nat = "a"\nlast = "y"', "checks[1].at: needs 'json' beside it"),
        ('file = "x"\nequals = 1', "checks[1].equals: needs 'json' or 'value' beside it"),
        ('json = "x"\nequals = nan', "checks[1].equals: must be a value of JSON"),
        ('json = "x"\nequals = [1, 2021-01-01]', "checks[1].equals: must be a value of JSON"),
        ('log = "a"\ncount = "== 3"', "checks[1].count: needs 'contains' beside it"),
        ('log = "a"\ncontains = "x"\ncount = "about 3"', "must be a comparison with a number"),
        ('log = "a"\ncontains = "x"\ncount = true', "must be a comparison with a number"),
        ('log = "a"\ncontains = ["x", "y"]\ncount = 3', "counts the lines of one pattern"),
        ('log = "a"\nlacks = []', "checks[1].lacks: must not be empty"),
        ('log = "a"\nlacks = ["a", 3]', "checks[1].lacks: item 2 must be a non-empty string"),
        ('log = "a"\nexpect = "n > 3"', "checks[1].expect: needs 'extract' or 'json' or 'value'"),
        ('log = "a"\nextract = "n=3"', "'n=3' has no named group, such as (?P<total>[0-9]+)"),
        (
            "log = 'a'\nextract = '(?P<n>x)'\nexpect = ['n == m']",
            "checks[1].expect: 'n == m', column 6: unknown name 'm'; known are: n",
        ),
        (
            "log = 'a'\nextract = ['(?P<n>x)', '(?P<n>y)']",
            "checks[1].extract: another pattern has the group 'n' too",
        ),
        ('value = "x"\nexpect = "value.y"', "column 1: 'value.y' is not allowed"),
        ('log = "a"\ngolden = "x"\nnormalize = ["date"]', "must be one of: datetime, number, port"),
        ('log = "a"\ngolden = "x"\nnormalize = [{sub = "("}]', "checks[1].normalize"),
        ("log = 'a'\ngolden = 'x'\nnormalize = [{sub = 'a', by = '\\1'}]", "cannot be put in"),
        ('log = "a"\nlast = "x"\nunordered = true', "unordered: needs 'golden' beside it"),
        ('log = "a"\nlast = "x"\ncontain = "y"', "unknown key; did you mean 'contains'?"),
    ],
)
def test_what_is_wrong(problems_of: Callable[..., list[str]], text: str, problem: str) -> None:
    assert any(problem in line for line in problems_of(checks(text), **UNITS))


@pytest.mark.parametrize("kind", ["pytest", "unittest", "doctest"])
def test_a_suite_writes_a_log_too(workspace: Workspace, kind: str) -> None:
    workspace.group(
        checks('log = "suite"\nlacks = "x"'), suite=f'kind = "{kind}"\npaths = ["code.py"]'
    )
    workspace.write({"g/code.py": ""})
    assert workspace.loaded().checks == (Check("c", log="suite", lacks=("x",)),)


def test_lines_may_be_read_by_a_function_of_the_pythonpath(workspace: Workspace) -> None:
    workspace.group(checks('log = "a"\nmap = "lines:upper"\nlacks = "x"'), a=UNITS["a"])
    workspace.write({"testrium.toml": 'pythonpath = ["lib"]', "lib/lines.py": "upper = str.upper"})
    (check,) = workspace.loaded().checks
    assert load_plugin(Plugin(*check.mapped))("x") == "X"


def test_names_are_unique(problems_of: Callable[..., list[str]]) -> None:
    twice = checks('exists = "x"') * 2
    assert problems_of(twice) == ["g/config.toml:9: checks[2].name: another check has the name 'c'"]


def test_no_list_of_tables(problems_of: Callable[..., list[str]]) -> None:
    assert problems_of("[checks]\nname = 'x'") == [
        "g/config.toml:3: checks: must be a list of tables: [[checks]]"
    ]


def test_a_reference_file_need_not_exist_yet(workspace: Workspace, tmp_path: Path) -> None:
    workspace.group(checks('log = "a"\ngolden = "expected.txt"'), a=UNITS["a"])
    assert workspace.loaded().checks[0].golden == "expected.txt"
    assert not (tmp_path / "g" / "expected.txt").exists()
