"""Files that are missing, cannot be read, or are no TOML or Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.load.conftest import Workspace
from tests.load.conftest import Problems


def test_files_of_units(workspace: Workspace) -> None:
    workspace.write(
        {
            "g/config.toml": """
                [Configs]
                units = [
                  "host",
                  "clint",
                  "tests",
                  "bad name",
                  "empty",
                  "two",
                ]
                """,
            "g/units/host.toml": "x = 1\n\n[hots]\ninit = 0\ninnit = 1",
            "g/units/client.toml": "[client]\ninit = 1",
            "g/units/.client.toml.swp": "",
            "g/units/empty.toml": "",
            "g/units/two.toml": "[two]\ninit = 2\n[three]\ninit = 3",
        }
    )
    assert workspace.problems() == [
        "g/config.toml:4: units: the file units/clint.toml is missing; did you mean 'client'?",
        "g/config.toml:5: units: 'tests' is reserved for Testrium's own unit of this name",
        (
            "g/config.toml:6: units: item 4 must be a name: up to 64 letters, digits, '_', '.' and "
            "'-', with a letter or digit first, got 'bad name'"
        ),
        "g/units/client.toml: is not listed in Configs.units; did you mean 'clint'?",
        'g/units/empty.toml: the table ["empty"] is missing',
        'g/units/host.toml:1: x: unexpected: ["host"] is the only table of this file',
        'g/units/host.toml:3: hots: the table must be named like the file: ["host"]',
        "g/units/host.toml:5: innit: unknown key; did you mean 'init'?",
        'g/units/two.toml:3: three: unexpected: ["two"] is the only table of this file',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = ", "g/config.toml:1: invalid TOML: expected a value"),
        (
            "[Configs]\nunits = ['a']\nunits = ['a']",
            "g/config.toml:3: invalid TOML: `units` is defined twice",
        ),
        ("", "g/config.toml: the table [Configs] is missing"),
        ("Configs = 3", "g/config.toml: the table [Configs] is missing"),
        ("[Configs]\ntimeout = 3", "g/config.toml:1: units: is required"),
        ("[Configs]\nunit = []", "g/config.toml:2: unit: unknown key; did you mean 'units'?"),
        ("[Configs]\nunits = []", "g/config.toml:2: units: must not be empty"),
        ("a = " + "[" * 5000, "g/config.toml: is nested too deeply"),
        ("a = 1" + "0" * 5000, "g/config.toml: invalid TOML: exceeds the limit"),
    ],
)
def test_a_config_that_cannot_be_read(workspace: Workspace, text: str, problem: str) -> None:
    workspace.write({"g/config.toml": text, "g/units/none.txt": ""})
    (found,) = workspace.problems()
    assert found.startswith(problem)


def test_a_config_that_cannot_be_read_hides_no_mistake_in_unit_files(workspace: Workspace) -> None:
    workspace.write(
        {
            "g/config.toml": "[Configs",
            "g/units/a.toml": "[a]\ntimeout = '${param.t}'\ncomand = ['x', '${env.NONE}']",
            "g/units/b.toml": "[b]\nunit_dependencies = ['a', 'c']",
        }
    )
    first, *others = workspace.problems()
    assert first.startswith("g/config.toml:1: invalid TOML: expected ']'")
    assert others == [
        "g/units/a.toml:3: comand: unknown key; did you mean 'command'?",
        "g/units/b.toml:2: unit_dependencies: unit b depends on unknown unit c",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 100_000,
        "x = " + "{a=" * 3_000 + "1" + "}" * 3_000,
        f"[a{'.b' * 100_000}]",
        f"a{' . b' * 100_000} = 1",
        f"x = {{a{'.b' * 100_000} = 1}}",
    ],
)
def test_what_is_nested_without_end_is_told_at_once(workspace: Workspace, text: str) -> None:
    workspace.write({"g/config.toml": text, "g/units/none.txt": ""})
    assert workspace.problems() == ["g/config.toml: is nested too deeply"]


@pytest.mark.parametrize("quotes", ['"', "'", '"""\n', "'''\n"])
def test_many_dots_in_a_text_do_not_count_as_nesting(workspace: Workspace, quotes: str) -> None:
    text = f"{quotes}{'. ' * 500}{quotes.strip()}"
    workspace.group(f"purpose = {text}", a="")
    assert workspace.loaded().purpose == ". " * 500


def test_a_file_of_a_hundred_megabytes_is_not_read(workspace: Workspace) -> None:
    workspace.group(a="")
    with (workspace.folder / "g/config.toml").open("ab") as file:
        file.truncate(100_000_000)
    assert workspace.problems() == ["g/config.toml: is too large: 100000000 bytes of 1000000"]


def test_a_file_that_is_not_utf_8(workspace: Workspace) -> None:
    workspace.group(a="")
    (workspace.folder / "g/config.toml").write_bytes(b"[Configs]\n# \xff\nunits = ['a']")
    assert workspace.problems() == ["g/config.toml:2: is not UTF-8"]


def test_a_setup_that_is_not_there(workspace: Workspace) -> None:
    """Of a disabled unit it is not needed; as a default it is for groups that have one."""
    workspace.write({"testrium.toml": "[unit]\nuse_setup = true"})
    units = {"a": "use_setup = true", "b": "enabled = false\nuse-setup = true", "c": ""}
    workspace.group(**units)
    assert [str(notice) for notice in workspace.loaded().notices] == [
        "g/units/a.toml:3: use_setup: waits for setup.py, which is missing in the group's folder"
    ]
    workspace.write({"g/setup.py": "def main(): pass"})
    assert workspace.loaded().has_setup
    assert workspace.loaded().notices == ()


def test_python_files(workspace: Workspace, problems_of: Problems) -> None:
    workspace.write(
        {
            "g/test_case.py": "def a():\n    pass\ndef b(:\n",
            "g/setup.py": "def man(): pass",
            "g/teardown.py": "from x import *",
            "g/odd.py": "x = '\\d'\ny = (",
        }
    )
    assert problems_of(a="entrypoint = 'odd:y'", b="entrypoint = 'test_case:nobody_knows'") == [
        "g/odd.py:2: Python syntax error: '(' was never closed",
        "g/setup.py: has no function main()",
        "g/test_case.py:3: Python syntax error: invalid syntax",
    ]


@pytest.mark.parametrize(
    ("config", "unit"),
    [
        ("[env]\nPYTHONPATH = '/somewhere'", ""),
        ("", "env = {PYTHONPATH = '/somewhere'}"),
        ("requires = ['python:not_installed.part']", ""),
    ],
)
def test_modules_that_this_process_cannot_know(
    workspace: Workspace, config: str, unit: str
) -> None:
    workspace.group(config, a=f"entrypoint = 'not_installed.code:run'\n{unit}")
    assert workspace.loaded().units[0].entrypoint == "not_installed.code:run"


def test_all_groups_are_reported_at_once(workspace: Workspace) -> None:
    for name in ("b", "a"):
        workspace.write(
            {
                f"{name}/config.toml": "[Configs]\nunits = ['u']\nx = 1\n[y]",
                f"{name}/units/u.toml": "[u]\ninit = 0\nz = 1",
            }
        )
    workspace.write({"c/units/u.toml": "[u]"})
    assert workspace.problems() == [
        "a/config.toml:3: x: unknown key",
        "a/config.toml:4: y: unknown table",
        "a/units/u.toml:3: z: unknown key",
        "b/config.toml:3: x: unknown key",
        "b/config.toml:4: y: unknown table",
        "b/units/u.toml:3: z: unknown key",
        "c/config.toml: is missing beside units/*.toml: write it, or take the folder away",
    ]


@pytest.mark.parametrize(
    "ready",
    [
        "{tcp = '${port.p}'}",
        "{tcp = 'localhost:${port.p}'}",
        "{tcp = '[::1]:80'}",
        "{tcp = '${env.PATH}'}",
        "{tcp = '127.0.0.1:${unit.a.port.p}'}",
        "{http = 'http://127.0.0.1:${port.p}/a?b=c'}",
        "{http = '${env.PATH}/health'}",
        "{http = 'https://[::1]:443'}",
    ],
)
def test_conditions_that_can_be(workspace: Workspace, ready: str) -> None:
    workspace.group(a=f"command = ['x']\nports = ['p']\nready = {ready}")
    assert workspace.loaded().units[0].ready is not None


@pytest.mark.parametrize(
    "code",
    [
        "import json as f\ndef f(): pass",
        "def f(a): pass\nf = None if 1 else f",
        "@wrapped\ndef f(a): pass",
        "class f: pass",
        "from x import f",
        "f = 1\nglobals()['f'] = print",
        "async def f(*a, b=1): pass",
    ],
)
def test_what_may_be_callable_is_left_to_the_unit(workspace: Workspace, code: str) -> None:
    workspace.write({"g/test_case.py": code})
    workspace.group(a="entrypoint = 'test_case:f'")
    assert workspace.loaded()


def test_a_folder_of_units_that_cannot_be_listed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.group(a="")
    listed = Path.iterdir

    def refuse(path: Path) -> object:
        if path.name == "units":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert workspace.problems() == ["g/units: cannot be read: Permission denied"]
