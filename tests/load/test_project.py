"""The project file: where it is looked for, and what it changes."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.errors import ConfigError, UsageError
from testrium.load import find_project
from testrium.load.project import properties_given

if TYPE_CHECKING:
    from tests.load.conftest import Workspace

DEFAULTS = """
    state = "kept/here"
    [Configs]
    timeout = 7
    save_scores = false
    tags = ["all"]
    [unit]
    in-except = "Resume"
    grace = 1
    command = ["serve"]
    [ai]
    command = ["explain", "--short"]
"""


def test_without_a_file_the_state_is_in_the_current_folder(tmp_path: Path) -> None:
    project = find_project(tmp_path)
    assert project.file is None
    assert project.state_folder == tmp_path / ".testrium"
    assert (dict(project.configs), dict(project.unit), project.ai_command) == ({}, {}, ())


def test_the_nearest_file_above_counts(workspace: Workspace) -> None:
    workspace.write(
        {
            "testrium.toml": "[Configs]\ntimeout = 1",
            "a/pyproject.toml": "[tool.testrium.Configs]\ntimeout = 2",
            "a/b/pyproject.toml": "[project]\nname = 'x'",
            "a/b/c/d.txt": "",
            "both/testrium.toml": "[Configs]\ntimeout = 3",
            "both/pyproject.toml": "[tool.testrium.Configs]\ntimeout = 4",
        }
    )
    root = workspace.folder
    for folder, timeout, state in (
        (root, 1, root),
        (root / "a", 2, root / "a"),
        (root / "a/b/c", 2, root / "a"),
        (root / "both", 3, root / "both"),
    ):
        project = find_project(folder)
        assert project.configs["timeout_s"].value == timeout
        assert project.state_folder == state / ".testrium"


def test_defaults_of_all_groups(workspace: Workspace) -> None:
    workspace.write({"testrium.toml": DEFAULTS, "g/test_case.py": "def f(): pass"})
    workspace.group(
        "tags = ['mine']",
        a="",
        b="entrypoint = 'test_case:f'\ngrace = 3\nin-except = 'Stop'",
    )
    group = workspace.loaded()
    assert (group.timeout_s, group.save_scores, group.tags) == (7, False, ("all", "mine"))
    a, b = group.units
    assert (a.command, a.in_except, a.grace_s) == (("serve",), "Resume", 1)
    assert (b.command, b.in_except, b.grace_s) == (None, "Stop", 3)
    project = find_project(workspace.folder / "g")
    assert project.state_folder == workspace.folder / "kept/here"
    assert project.ai_command == ("explain", "--short")


def test_all_mistakes_are_reported(workspace: Workspace) -> None:
    workspace.write(
        {
            "testrium.toml": """
                stat = "x"
                state = 3
                [Configs]
                tiemout = 3
                timeout = 0
                [unit]
                grace = "1"
                [units]
                [ai]
                command = []
                """
        }
    )
    with pytest.raises(ConfigError) as caught:
        find_project(workspace.folder)
    assert str(caught.value).splitlines() == [
        "testrium.toml:1: stat: unknown key; did you mean 'state'?",
        'testrium.toml:2: state: must be a non-empty string, got 3: write "3"',
        "testrium.toml:4: Configs.tiemout: unknown key; did you mean 'timeout'?",
        "testrium.toml:5: Configs.timeout: must be a positive number, got 0",
        (
            "testrium.toml:7: unit.grace: invalid duration '1': use a number of seconds"
            ' or a text such as "80ms" (us, ms, s, m, h, d)'
        ),
        "testrium.toml:8: units: unknown key; did you mean 'unit'?",
        "testrium.toml:10: ai.command: must not be empty",
    ]


def test_a_key_of_an_inner_table_in_two_spellings_is_told_at_the_second(
    workspace: Workspace,
) -> None:
    workspace.write({"testrium.toml": "[run]\nexclude = ['a']\nless = ['b']\nlf = true"})
    with pytest.raises(ConfigError) as caught:
        find_project(workspace.folder)
    assert str(caught.value) == (
        "testrium.toml:3: run.less: is the same key as 'exclude', which is given too"
    )


def test_a_folder_of_code_that_is_not_there_keeps_groups_from_being_loaded(
    workspace: Workspace,
) -> None:
    with zipfile.ZipFile(workspace.folder / "b.whl", "w") as wheel:
        wheel.writestr("b.py", "")
    folders = f"pythonpath = [\n'lib',\n'libs',\n'lib/a.py',\n'b.whl',\n'{'x' * 300}']"
    workspace.write({"testrium.toml": folders, "lib/a.py": ""})
    workspace.group(a="")
    assert find_project(workspace.folder).state_folder == workspace.folder / ".testrium"
    *told, too_long = workspace.problems()
    assert too_long.startswith("testrium.toml:6: pythonpath: 'xxx")
    assert told == [
        (
            "testrium.toml:3: pythonpath: 'libs': no such folder: make it, or give a path below"
            " the folder of this file"
        ),
        "testrium.toml:4: pythonpath: 'lib/a.py': is a file: give its folder, 'lib'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[tool.testrium]\nConfigs = 3", "2: tool.testrium.Configs: must be a table"),
        ("[tool.testrium", "1: invalid TOML: expected ']' at the end of a table declaration"),
    ],
)
def test_a_wrong_pyproject(workspace: Workspace, text: str, problem: str) -> None:
    workspace.write({"pyproject.toml": text})
    with pytest.raises(ConfigError) as caught:
        find_project(workspace.folder)
    assert str(caught.value).startswith(f"pyproject.toml:{problem}")


@pytest.mark.parametrize("text", ["tool = 3", "[tool]\ntestrium = 3", "[tool.black]"])
def test_a_pyproject_of_others(workspace: Workspace, text: str) -> None:
    workspace.write({"pyproject.toml": text})
    assert find_project(workspace.folder).file is None


FOLDERS = {
    "testrium.toml": "state = 'kept'\n[Configs]\ntimeout = 1\ntags = ['all']\n[unit]\ngrace = 1",
    "shop/testrium.toml": "[Configs]\ntimeout = 2\norder = 5\n[unit]\ncommand = ['serve']",
    "shop/cart/testrium.toml": "[unit]\nentrypoint = 'test_case:f'\nrestarts = 0",
    "shop/cart/g/test_case.py": "def f(): pass",
    "shop/cart/g/config.toml": "[Configs]\nunits = ['u', 'v']\norder = 7",
    "shop/cart/g/units/u.toml": "[u]\ninit = 0",
    "shop/cart/g/units/v.toml": "[v]\ninit = 1\ncommand = ['x']",
    "other/config.toml": "[Configs]\nunits = ['u']",
    "other/units/u.toml": "[u]\ninit = 0",
}


@pytest.mark.parametrize("cwd", [".", "shop", "shop/cart", "shop/cart/g"])
def test_the_nearest_folder_decides_wherever_it_is_run_from(workspace: Workspace, cwd: str) -> None:
    workspace.write({**FOLDERS, ".git/HEAD": ""})
    top = workspace.folder
    workspace.folder /= cwd
    assert find_project(workspace.folder).state_folder == top / "kept"
    (group,) = [each for each in workspace.load() if each.folder.name == "g"]
    assert (group.timeout_s, group.tags, group.order) == (2, ("all",), 7)
    u, v = group.units
    assert (u.entrypoint, u.command, u.grace_s) == ("test_case:f", None, 1)
    assert (v.entrypoint, v.command, v.grace_s) == (None, ("x",), 1)


def test_a_folder_has_no_say_about_others(workspace: Workspace) -> None:
    workspace.write(FOLDERS)
    (other,) = workspace.load("other")
    assert (other.timeout_s, other.order, other.units[0].command) == (1, 0, None)


def test_without_a_project_file_folders_have_defaults_too(workspace: Workspace) -> None:
    workspace.write({name: text for name, text in FOLDERS.items() if name != "testrium.toml"})
    for path in (".", "shop", "shop/cart/g"):
        (group,) = [each for each in workspace.load(path) if each.folder.name == "g"]
        assert group.timeout_s == 2
    outside = workspace.folder / "other"
    workspace.folder = outside
    (group,) = workspace.load("../shop")  # from where the search begins
    assert group.timeout_s == 2


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("[Configs]", "top"),
        ("state = 'x'", "inner"),
        ("", "inner"),
    ],
)
def test_a_file_with_only_defaults_yields_to_one_above(
    workspace: Workspace, inner: str, expected: str
) -> None:
    workspace.write({"top/testrium.toml": "", "top/.git": "", "top/inner/testrium.toml": inner})
    workspace.write({"testrium.toml": ""})  # outside of the repository
    project = find_project(workspace.folder / "top/inner")
    assert project.file is not None
    assert project.file.parent.name == expected


def test_mistakes_in_a_folders_file_have_its_place(workspace: Workspace) -> None:
    workspace.write(
        {**FOLDERS, "shop/testrium.toml": "[Configs]\ntiemout = 3\n[unit]\ngrace = 'x'\n[circuits]"}
    )
    assert workspace.problems() == [
        "shop/testrium.toml:2: Configs.tiemout: unknown key; did you mean 'timeout'?",
        (
            "shop/testrium.toml:4: unit.grace: invalid duration 'x': use a number of seconds"
            ' or a text such as "80ms" (us, ms, s, m, h, d)'
        ),
        "shop/testrium.toml:5: circuits: unknown key",
    ]


def test_what_only_a_project_file_decides_is_mentioned(workspace: Workspace) -> None:
    workspace.write({**FOLDERS, "shop/testrium.toml": "state = 'x'"})
    (group,) = workspace.load("shop")
    assert [str(notice) for notice in group.notices] == [
        "shop/testrium.toml:1: state: counts in the project file only (here testrium.toml)"
    ]


def test_requirements_that_the_project_does_not_list(workspace: Workspace) -> None:
    workspace.write({"testrium.toml": "[requirements]\nR-10 = 'x'\nZ = ''"})
    workspace.group("requirements = ['R-10', 'R-12']", a="")
    (problem,) = workspace.problems()
    message = "'R-12' is not a requirement of the project; did you mean 'R-10'?"
    assert problem == f"g/config.toml:3: requirements: {message}"


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("tools:fwe", "module 'tools' has no function 'fwe'; did you mean 'few'?"),
        ("toolss:few", "module 'toolss' is neither in the project's folder nor importable"),
        ("tools", 'must use "module:function" format'),
    ],
)
def test_a_plugin_that_is_not_there(workspace: Workspace, reference: str, problem: str) -> None:
    text = f'[plugins.units]\nx = "json:dumps"\n[plugins.checks]\nfew = "{reference}"'
    workspace.write({"testrium.toml": text, "tools.py": "def few(settings): ..."})
    with pytest.raises(ConfigError) as caught:
        find_project(workspace.folder)
    assert str(caught.value).startswith(f"testrium.toml:4: plugins.checks.few: {problem}")


def test_plugins_that_are_there(workspace: Workspace) -> None:
    """What they are told are arguments; modules may lie in folders."""
    text = '[plugins.checks]\na = "tools:few"\nb = "more.checks:A"'
    files = {"tools.py": "def few(settings): ...", "more/checks.py": "class A: ..."}
    workspace.write({"testrium.toml": text, **files})
    plugins = find_project(workspace.folder).plugins
    assert [plugin.reference for plugin in plugins] == ["tools:few", "more.checks:A"]


def test_known_failures_have_a_day_and_a_place(workspace: Workspace) -> None:
    text = '[[quarantine]]\ngroup = "a"\ncode = "lost"\nreason = "#1"\nuntil = {}'
    for day in ("2027-01-31", '"2027-01-31"'):
        workspace.write({"testrium.toml": text.format(day)})
        (known,) = find_project(workspace.folder).quarantine
        assert (known.place, known.rule.until) == ("testrium.toml:1", date(2027, 1, 31))
    wrong = '[[quarantine]]\ngroup = "a"\ncode = "losst"\nuntil = 2027-01-31T10:00:00'
    workspace.write({"testrium.toml": wrong})
    with pytest.raises(ConfigError) as caught:
        find_project(workspace.folder)
    text = str(caught.value)
    assert "testrium.toml:1: quarantine[1].reason: is required" in text
    assert "testrium.toml:3: quarantine[1].code: must be the code of a finding, got 'losst'" in text
    assert "did you mean 'lost'?" in text
    assert "testrium.toml:4: quarantine[1].until: must be a date: 2027-01-31" in text


PROPERTIES = """
[properties]
server = {default = "localhost", env = "TEST_SERVER"}
limit = {default = 5}
user = {env = "TEST_USER"}
[unit]
env = {TIER = "${property.server}"}
"""


def test_properties_have_values_by_option_environment_and_default(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write({"testrium.toml": PROPERTIES})
    monkeypatch.setenv("TEST_SERVER", "prod")
    config = "timeout = '${property.limit}'\ntitle = 'on ${property.server}'"
    workspace.group(config, a="command = ['ping', '${property.server}']")
    group = workspace.loaded()
    assert (group.timeout_s, group.title) == (5.0, "on prod")
    assert group.properties == {"server": "prod", "limit": "5"}
    assert group.shared_env == {"TIER": "${property.server}"}
    with properties_given({"limit": "8", "server": "test"}):
        group = workspace.loaded()
    assert (group.timeout_s, group.title) == (8.0, "on test")


def test_a_number_of_the_environment_is_one_where_a_number_is_asked_for(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.write({"testrium.toml": PROPERTIES})
    monkeypatch.setenv("TEST_USER", "7")
    workspace.group("timeout = '${property.user}'\ntitle = '${property.user}'", a="")
    group = workspace.loaded()
    assert (group.timeout_s, group.title) == (7.0, "7")


def test_defaults_name_no_values_that_only_groups_have(workspace: Workspace) -> None:
    defaults = """
        [Configs]
        timeout = "${property.limit}"
        tags = ["a", "b-${param.size}"]
        title = "$${param.size}"
        [unit]
        env = {A = "${property.limit}"}
        stop_signal = "${property.limit}"
        """
    workspace.write({"testrium.toml": defaults})
    why = "has no value in defaults: name it in the files of groups"
    with pytest.raises(ConfigError) as caught:
        find_project(workspace.folder)
    assert str(caught.value).splitlines() == [
        f"testrium.toml:2: Configs.timeout: ${{property.limit}} {why}",
        f"testrium.toml:3: Configs.tags: ${{param.size}} {why}",
        f"testrium.toml:7: unit.stop_signal: ${{property.limit}} {why}",
    ]


@pytest.mark.parametrize("value", ["nan", "{default = inf}"])
def test_a_property_is_finite(workspace: Workspace, value: str) -> None:
    workspace.write({"testrium.toml": f"[properties]\nratio = {value}\n"})
    with pytest.raises(ConfigError, match=r"properties\.ratio: must be a finite number"):
        find_project(workspace.folder)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("${property.user}", "has no value: set TEST_USER, or give -X user=VALUE"),
        (
            "${property.sever}",
            "unknown variable ${property.sever}; did you mean 'property.server'?",
        ),
    ],
)
def test_a_property_without_a_value_is_told_where_it_is_used(
    workspace: Workspace, text: str, problem: str
) -> None:
    workspace.write({"testrium.toml": PROPERTIES})
    workspace.group(f"title = '{text}'", a="")
    (told,) = workspace.problems()
    assert told.startswith("g/config.toml:3: title: ")
    assert problem in told


def test_a_value_of_the_wrong_type_is_told(workspace: Workspace) -> None:
    workspace.write({"testrium.toml": PROPERTIES})
    workspace.group("", a="")
    with properties_given({"limit": "soon"}):
        (told,) = workspace.problems()
    assert told == (
        "testrium.toml:3: properties.limit: -X limit is 'soon': expected an integer, as its"
        " default is"
    )
    with properties_given({"limits": "1"}), pytest.raises(UsageError, match="did you mean 'limit'"):
        workspace.load()
