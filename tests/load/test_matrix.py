"""The `[matrix]`: parameters, what is left out, what is primary."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from testrium.load.matrix import MOST
from testrium.load.texts import check_exit_codes
from testrium.plan.scenarios import plan_scenarios
from testrium.plan.selection import Selection

if TYPE_CHECKING:
    from tests.load.conftest import Workspace

A_VALUE = "must be a string without control characters, a number or a boolean, got nan"
NO_NAME = (
    "must be a name of a parameter: up to 64 letters, digits, '_', '.' and '-',"
    " with a letter or digit first"
)

Problems = Callable[..., list[str]]

BROWSERS = "[matrix]\nbrowser = ['a', 'b']\nsize = [1, 2]\n"


def suffixes(workspace: Workspace, config: str) -> dict[str, bool]:
    """The suffix of every combination, and whether it is primary."""
    workspace.group(config, a="")
    return {each.suffix: each.primary for each in workspace.loaded().matrix}


def test_every_combination_in_the_order_of_the_file(workspace: Workspace) -> None:
    assert list(suffixes(workspace, BROWSERS)) == [
        "[browser=a,size=1]",
        "[browser=a,size=2]",
        "[browser=b,size=1]",
        "[browser=b,size=2]",
    ]


def test_without_a_matrix_there_is_none(workspace: Workspace) -> None:
    assert suffixes(workspace, "") == {}


def test_values_become_text_as_toml_writes_them(workspace: Workspace) -> None:
    config = "[matrix]\nfast = [true, false]\nload = [0.5, 1]\n"
    assert list(suffixes(workspace, config)) == [
        "[fast=true,load=0.5]",
        "[fast=true,load=1]",
        "[fast=false,load=0.5]",
        "[fast=false,load=1]",
    ]


def test_an_entry_excludes_all_combinations_that_have_its_values(workspace: Workspace) -> None:
    config = BROWSERS + "exclude = [{browser = 'a', size = 2}, {browser = 'b'}]"
    assert list(suffixes(workspace, config)) == ["[browser=a,size=1]"]


def test_what_is_not_primary_is_the_rest(workspace: Workspace) -> None:
    config = BROWSERS + "exclude = [{browser = 'b', size = 1}]\nprimary = [{size = 1}]"
    assert suffixes(workspace, config) == {
        "[browser=a,size=1]": True,
        "[browser=a,size=2]": False,
        "[browser=b,size=2]": False,
    }


def test_texts_may_name_parameters(workspace: Workspace) -> None:
    workspace.group(
        BROWSERS + "[env]\nB = '${param.browser}'", a="command = ['run', '${param.size}']"
    )
    assert workspace.loaded().env == {"B": "${param.browser}"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[matrix]]", "3: matrix: must be a table"),
        ("[matrix]", "3: matrix: names no parameter"),
        (
            "[matrix]\nsize = 1",
            "4: matrix.size: must be a list of strings, numbers, booleans or tables, got 1",
        ),
        ("[matrix]\nsize = []", "4: matrix.size: must not be empty"),
        ("[matrix]\nsize = [1, '1']", "4: matrix.size: contains duplicate values: 1"),
        (
            "[matrix]\nsize = [nan]",
            f"4: matrix.size: item 1 {A_VALUE}",
        ),
        (
            "[matrix]\n'a b' = [1]",
            f"4: matrix.'a b': {NO_NAME}",
        ),
        (
            "[matrix]\na-b = [1]\na_b = [1]",
            "5: matrix.a_b: shares the variable TESTRIUM_PARAM_A_B with 'a-b'",
        ),
        (BROWSERS + "exclude = {size = 1}", "6: matrix.exclude: must be a list of tables"),
        (BROWSERS + "exclude = ['a']", "6: matrix.exclude: item 1 must be a table, got 'a'"),
        (BROWSERS + "primary = [{}]", "6: matrix.primary[1]: must name a parameter"),
        (
            BROWSERS + "exclude = [\n  {size = 1},\n  {browsr = 'a'},\n]",
            "8: matrix.exclude[2].browsr: unknown parameter; did you mean 'browser'?",
        ),
        (
            BROWSERS + "primary = [{size = 3}]",
            "6: matrix.primary[1].size: must be one of: 1, 2; got 3",
        ),
        (
            BROWSERS + "exclude = [{size = 1}, {size = 2}]",
            "6: matrix.exclude: leaves no combination",
        ),
        (
            BROWSERS + "exclude = [{size = 1}]\nprimary = [{size = 1}]",
            "7: matrix.primary[1]: names no combination: exclude removes all that match",
        ),
        (
            f"[matrix]\na = {list(range(40))}\nb = {list(range(40))}",
            f"3: matrix: makes 1600 combinations; {MOST} is the most",
        ),
        (
            BROWSERS + "[env]\nB = '${param.brwser}'",
            "7: env.B: unknown variable ${param.brwser}; did you mean 'param.browser'?",
        ),
    ],
)
def test_what_is_wrong(problems_of: Problems, text: str, problem: str) -> None:
    assert problems_of(text) == [f"g/config.toml:{problem}"]


def test_a_number_in_place_of_the_table(workspace: Workspace) -> None:
    workspace.group(a="")
    config = workspace.folder / "g/config.toml"
    config.write_text(f"matrix = 5\n{config.read_text()}")
    assert workspace.problems() == ["g/config.toml:1: matrix: must be a table, got 5"]


FROM = "[matrix]\nfrom = 'modes:all_modes'\n"


def modes(workspace: Workspace, returned: str, config: str = FROM) -> None:
    workspace.group(config, a="")
    workspace.write({"g/modes.py": f"import os, sys\n\ndef all_modes():\n    return {returned}\n"})


def test_a_function_gives_combinations_for_each_of_the_other_parameters(
    workspace: Workspace,
) -> None:
    returned = "[{'browser': {'id': 'ff', 'path': '/f', 'opts': {'deep': 1}}}, {'browser': 'ie'}]"
    modes(workspace, returned, FROM + "size = [1, 2]\nexclude = [{browser = 'ie', size = 2}]\n")
    combinations = workspace.loaded().matrix
    assert [one.suffix for one in combinations] == [
        "[browser=ff,size=1]",
        "[browser=ff,size=2]",
        "[browser=ie,size=1]",
    ]
    assert combinations[0].values == {
        "browser": "ff",
        "browser.id": "ff",
        "browser.path": "/f",
        "browser.opts.deep": 1,
        "size": 1,
    }


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ("[]", "modes:all_modes returned an empty list: the matrix has no combination"),
        ("[1]", "modes:all_modes must return a list of dictionaries: parameter -> value"),
        ("None", "modes:all_modes must return a list of dictionaries: parameter -> value"),
        (
            "[{'b': {'name': 'x'}}]",
            "modes:all_modes returned b = {'name': 'x'}: a value that is a table needs `id`",
        ),
        ("[{'b': [1]}]", "modes:all_modes returned b = [1]: b must be a string without control"),
        ("[{'a b': 1}]", "modes:all_modes returned a b = 1: must be a name of a parameter"),
        ("1 / 0", "modes:all_modes failed: ZeroDivisionError: division by zero (modes.py:4)"),
        ("[{'a': object()}]", "modes:all_modes failed: TypeError: Object of type object is not JS"),
        ("os._exit(0)", "modes:all_modes returned something that JSON cannot hold"),
        ("os._exit(3)", "modes:all_modes failed: exit code 3"),
    ],
)
def test_a_function_that_gives_no_tables(workspace: Workspace, returned: str, problem: str) -> None:
    modes(workspace, returned, FROM)
    (told,) = workspace.problems()
    assert told.startswith(f"g/config.toml:4: matrix.from: {problem}")


@pytest.mark.parametrize(
    "matrix",
    ["from = 'modes:none'", "from = 'modes:all_modes'\nb = [1]", "from = 3", "b = [{name = 'x'}]"],
)
def test_what_names_parameters_of_a_wrong_matrix_is_not_wrong_too(
    workspace: Workspace, matrix: str
) -> None:
    config = f"""
        timeout = "${{param.b}}"
        title = "${{param.b.name.deep}}"
        [[checks]]
        name = "c"
        log = "a"
        contains = "${{param.b.name}}"
        [matrix]
        {matrix}
        """
    workspace.group(config, a='command = ["${param.b}"]\nexit = "${param.b.code}"')
    workspace.write({"g/modes.py": "def all_modes():\n    return [{'b': 1}]\n"})
    (told,) = workspace.problems()
    assert ": matrix." in told


def test_a_value_that_one_combination_lacks_is_named_with_it(workspace: Workspace) -> None:
    config = """
        title = "${param.b.name}"
        [matrix]
        b = [{id = "x", name = "X", port = 1}, {id = "y"}]
        """
    workspace.group(config, a='command = ["run", "${param.b.port}"]')
    assert [problem.partition(": ")[2] for problem in workspace.problems()] == [
        "title: ${param.b.name} has no value in [b=y]",
        "command: ${param.b.port} has no value in [b=y]",
    ]


def test_a_function_may_be_a_coroutine(workspace: Workspace) -> None:
    workspace.group(FROM, a="")
    workspace.write({"g/modes.py": "async def all_modes():\n    return [{'b': 1}]\n"})
    assert [one.suffix for one in workspace.loaded().matrix] == ["[b=1]"]


def test_a_function_gives_no_parameter_of_the_file(workspace: Workspace) -> None:
    modes(workspace, "[{'size': 1}]", FROM + "size = [1]\n")
    (told,) = workspace.problems()
    assert told == (
        "g/config.toml:5: matrix.size: the function of 'from' gives a parameter of this name too"
    )


def test_every_text_may_name_parameters(workspace: Workspace) -> None:
    workspace.group(
        """
        timeout = "${param.limit}"
        title = "$$ ${param.browser.name}"
        [matrix]
        browser = [{id = "ff", name = "Firefox"}, {id = "ch", name = "Chromium"}]
        limit = ["5s"]
        [[circuits]]
        name = "c"
        route = ["a:x", "b:y"]
        keys = "${param.limit.none}"
        """,
        a="",
        b="",
    )
    (told,) = workspace.problems()
    place = "g/config.toml:12: circuits[1].keys"
    assert told == f"{place}: unknown variable ${{param.limit.none}}; did you mean 'param.limit'?"


def test_each_combination_is_a_group_of_its_own(workspace: Workspace) -> None:
    config = """
        timeout = "${param.limit}"
        title = "$$ ${param.browser.name} ${other}"
        [matrix]
        browser = [{id = "ff", name = "Firefox"}, {id = "ch", name = "Chromium"}]
        limit = ["5s"]
        [verify]
        linger = "${param.limit}"
        [[circuits]]
        name = "c"
        route = ["a:x", "b:y"]
        keys = "2..${param.limit}"
        """
    workspace.group(config.replace("2..${param.limit}", "1.."), a="", b="")
    scenarios = plan_scenarios([workspace.loaded()], Selection())
    assert [(one.id, one.group.title, one.group.timeout_s) for one in scenarios] == [
        ("g[browser=ff,limit=5s]", "$$ Firefox ${other}", 5.0),
        ("g[browser=ch,limit=5s]", "$$ Chromium ${other}", 5.0),
    ]
    assert scenarios[0].group.rules.linger_ns == 5_000_000_000
    assert scenarios[0].group.variants == {}
    workspace.group(config, a="", b="")
    (told,) = workspace.problems()
    assert told.startswith("g/config.toml:14: circuits[1].keys: must be a number or a range")
    assert told.endswith("got '2..5s'")


CASES = """
def browsers():
    print("is not in the way")
    yield {"browser": {"id": "ff", "name": "Firefox", "engine": {"port": 9}}, "size": 1}
    yield {"browser": {"id": "ch", "name": "Chrome", "engine": {"port": 8}}, "size": 2}
"""


def test_a_function_gives_combinations_with_nested_values(workspace: Workspace) -> None:
    config = """
    timeout = "${param.limit}"
    [matrix]
    from = "cases:browsers"
    limit = [7, "8s"]
    exclude = [{browser = "ch", limit = 7}]
    [[circuits]]
    name = "of ${param.browser.name}"
    route = ["a:sent", "a:got"]
    keys = "${param.size}"
    within = "${param.limit}"
    """
    workspace.write({"g/cases.py": CASES})
    workspace.group(config, a="timeout = '${param.limit}'")
    group = workspace.loaded()
    assert [each.suffix for each in group.matrix] == [
        "[browser=ff,size=1,limit=7]",
        "[browser=ff,size=1,limit=8s]",
        "[browser=ch,size=2,limit=8s]",
    ]
    scenarios = plan_scenarios([group])
    assert [one.values["param.browser.engine.port"] for one in scenarios] == ["9", "9", "8"]
    assert [one.group.timeout_s for one in scenarios] == [7.0, 8.0, 8.0]
    assert [one.units[0].timeout_s for one in scenarios] == [7.0, 8.0, 8.0]
    circuits = [one.group.circuits[0] for one in scenarios]
    assert [circuit.name for circuit in circuits] == ["of Firefox", "of Firefox", "of Chrome"]
    assert [circuit.keys[0] for circuit in circuits] == [1, 1, 2]
    assert [circuit.within_ns for circuit in circuits] == [7e9, 8e9, 8e9]


def test_a_function_that_is_not_there(workspace: Workspace) -> None:
    workspace.write({"g/cases.py": CASES})
    workspace.group("[matrix]\nfrom = 'cases:brwsers'", a="")
    (told,) = workspace.problems()
    assert told == (
        "g/config.toml:4: matrix.from: module 'cases' has no function 'brwsers'; did you mean"
        " 'browsers'?"
    )


def test_a_value_that_is_a_table_has_an_id(problems_of: Problems) -> None:
    (problem,) = problems_of("[matrix]\nbrowser = [{name = 'x'}]")
    assert "a value that is a table needs `id`" in problem


def test_a_wrong_value_of_one_combination_is_found(workspace: Workspace) -> None:
    config = "timeout = '${param.limit}'\n[matrix]\nlimit = ['5s', 'soon']"
    workspace.group(config, a="")
    (problem,) = workspace.problems()
    assert problem.startswith("g/config.toml:3: timeout: ")
    assert "soon" in problem


def test_combinations_are_asked_for_only_where_an_exit_code_may_depend_on_them() -> None:
    never = (pytest.fail(f"asked for {each}") for each in "ab")
    check_exit_codes((), {}, never)


def test_an_exit_code_that_a_combination_makes_wrong_is_told(workspace: Workspace) -> None:
    """What it must be is asked of each value, the second of a list too."""
    must = 'must be an integer between 0 and 255, "!=0" or "any"'
    config = "[matrix]\ncode = [3, '!=0', 'x', 1.5, 256]\nword = ['any', '']\n"
    workspace.group(config, a="exit = ['${param.code}', '1${param.word}']", b="exit = '${param.n}'")
    assert workspace.problems() == [
        f"g/units/a.toml:3: exit: '${{param.code}}' is '1.5' in [code=1.5,word=any]: {must}",
        f"g/units/a.toml:3: exit: '${{param.code}}' is '256' in [code=256,word=any]: {must}",
        f"g/units/a.toml:3: exit: '${{param.code}}' is 'x' in [code=x,word=any]: {must}",
        f"g/units/a.toml:3: exit: '1${{param.word}}' is '1any' in [code=3,word=any]: {must}",
        "g/units/b.toml:3: exit: unknown variable ${param.n}",
    ]
    workspace.group(config.replace("'x', 1.5, 256", "'0'"), a="exit = '${param.code}'", b="")
    scenarios = plan_scenarios([workspace.loaded()], Selection(), repeat=0)
    assert [each.units[0].exit for each in scenarios] == [
        (3,),
        (3,),
        ("!=0",),
        ("!=0",),
        (0,),
        (0,),
    ]
