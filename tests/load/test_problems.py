"""Everything that can be wrong with a group: one line per mistake, with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.load.conftest import Workspace

Problems = Callable[..., list[str]]

CONFIG = "g/config.toml"
TCP = "must be a port, from 1 to 65535, or HOST:PORT"
HTTP = "must be a URL that begins with http://HOST or https://HOST"
UNIT = "g/units/a.toml"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("tiemout = 4", "tiemout: unknown key; did you mean 'timeout'?"),
        ("Timeout = 4", "Timeout: unknown key; did you mean 'timeout'?"),
        ("zzz = 4", "zzz: unknown key"),
        ("enabled = 1", "enabled: must be a boolean"),
        ("enabled = 'true'", "enabled: must be a boolean"),
        ("timeout = 0", "timeout: must be a positive number"),
        ("timeout = -1", "timeout: must be a positive number"),
        ("timeout = true", "timeout: must be a positive number"),
        ("timeout = nan", "timeout: must be a positive number"),
        ("timeout = inf", "timeout: must be a positive number"),
        ("timeout = '30'", "timeout: must be a positive number"),
        ("repeat = 11", "repeat: must be an integer between 0 and 10"),
        ("repeat = 1.0", "repeat: must be an integer between 0 and 10"),
        ("repeat = true", "repeat: must be an integer between 0 and 10"),
        ("order = 1.5", "order: must be an integer"),
        (f"order = {'9' * 4000}", f"order: is a number beyond {2**63 - 1}"),
        (f"repeat = 0x{'f' * 9000}", f"repeat: is a number beyond {2**63 - 1}"),
        (f"timeout = {'9' * 4000}", "timeout: is a number beyond 1000000000"),
        ("timeout = 1e300", "timeout: is a number beyond 1000000000"),
        ("title = 3", "title: must be a string"),
        ('title = "a\\u0000"', "title: must be a string"),
        ("tags = 'x'", "tags: must be a list of strings"),
        (
            "tags = ['x', 3]",
            "tags: item 2 must be a non-empty string without control characters",
        ),
        ("tags = ['x', 'x']", "tags: contains duplicate values: x"),
        ("debug-modes = []", "debug-modes: must not be empty"),
        (
            "debug-modes = ['INFOO']",
            (
                "debug-modes: item 1 must be one of: DEBUG, INFO, WARNING, EXCEPT; "
                "did you mean 'INFO'?"
            ),
        ),
        (
            "test-modes = 'all'",
            "test-modes: must be one of: DEBUG, INFO, WARNING, EXCEPT, All; did you mean 'All'?",
        ),
        ("test-modes = 3", "test-modes: must be a list of strings"),
        ("use-ai = true", "use-ai: needs a command in [ai] of the project file"),
        ("gen-metrics = 0", "gen-metrics: must be a boolean"),
    ],
)
def test_a_key_of_configs(problems_of: Problems, line: str, problem: str) -> None:
    assert problems_of(line) == [f"{CONFIG}:3: {problem}"]


def test_a_mode_that_is_not_supported(problems_of: Problems) -> None:
    assert problems_of("debug-modes = ['INFO']\ntest-modes = ['DEBUG', 'INFO']") == [
        f"{CONFIG}:4: test-modes: DEBUG: not one of debug-modes"
    ]


def test_both_spellings_of_a_key(problems_of: Problems) -> None:
    assert problems_of("save-scores = true\nsave_scores = true\nsave-performance = true") == [
        f"{CONFIG}:4: save_scores: is the same key as 'save-scores', which is given too",
        f"{CONFIG}:5: save-performance: is the same key as 'save-scores', which is given too",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[verifi]", "3: verifi: unknown table; did you mean 'verify'?"),
        ("[[checks]]\nexists = 'x'", "3: checks[0].name: is required"),
        ("[env]\nA = 3", "4: env.A: must be a string"),
        ("[env]\n'A=B' = ''", "4: env.'A=B': is no name of an environment variable"),
        ("[env]\nA = '${port.http}'", "4: env.A: unknown variable ${port.http}"),
        ("[env]\nA = '${mod}'", "4: env.A: unknown variable ${mod}; did you mean 'mode'?"),
        (
            "[env]\nA = '${probe.a.ready.x}'",
            "4: env.A: ${probe.a.ready.x} cannot be used here",
        ),
        ("[env]\nA = '${mode'", "4: env.A: '${mode', column 1: '${' without '}'"),
        ("[verify]\nsetle = '1s'", "4: verify.setle: unknown key; did you mean 'settle'?"),
        (
            "[verify]\nsettle = 3",
            '4: verify.settle: must be a duration such as "200ms" (us, ms, s or m)',
        ),
        (
            "[verify]\nsettle = '3 h'",
            '4: verify.settle: must be a duration such as "200ms" (us, ms, s or m)',
        ),
        (
            "[verify]\nallow = ['b:X']",
            "4: verify.allow: 'b:X', column 1: unknown unit 'b'",
        ),
        (
            "[verify]\norphans = 'forbidden'",
            "4: verify.orphans: must be one of: forbid, allow; did you mean 'forbid'?",
        ),
        ("[[circuits]]\nroute = ['a:x']", "3: circuits[0].name: is required"),
        ("[[circuits]]\nname = 'c'", "3: circuits[0].route: is required"),
        ("[circuits]\nname = 'c'", "3: circuits: must be a list of tables: [[circuits]]"),
        (
            "[[circuits]]\nname = 'c'\nroute = [\n'a:x',\n'a:y}']",
            (
                "7: circuits[0].route: 'a:y}', column 4: unexpected '}': "
                "a count is one of ? * + {n} {n,} {n,m}, at the end"
            ),
        ),
        (
            "[[circuits]]\nname = 'c'\nroute = ['a:x']\nkeys = '5..2'",
            '6: circuits[0].keys: must be a number or a range: "100", "1..", "0..5"',
        ),
        (
            f"[[circuits]]\nname = 'c'\nroute = ['a:x']\nkeys = '1..{10**12}'",
            "6: circuits[0].keys: must be less than 1 000 000 000 000 instances",
        ),
        (
            f"[[circuits]]\nname = 'c'\nroute = ['a:x']\nkeys = {10**12}",
            "6: circuits[0].keys: must be less than 1 000 000 000 000 instances",
        ),
        (
            "[[circuits]]\nname = 'c'\nroute = ['a:x']\nkeys = -1",
            '6: circuits[0].keys: must be a number or a range: "100", "1..", "0..5"',
        ),
        (
            "[[circuits]]\nname = 'c'\nroute = ['a:x']\nnever = ['a:y?']",
            "6: circuits[0].never: 'a:y?': what must never happen has no count",
        ),
        (
            "[[circuits]]\nname = 'c'\nroute = ['a:x']\n[[circuits]]\nname = 'c'\nroute = ['a:x']",
            "7: circuits[1].name: another circuit has the name 'c'",
        ),
    ],
)
def test_the_other_tables(problems_of: Problems, text: str, problem: str) -> None:
    assert problems_of(text) == [f"{CONFIG}:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("restrats = 1", "restrats: unknown key; did you mean 'restarts'?"),
        ("entrypoint = 'test_case'", 'entrypoint: must use "module:function" format'),
        ("entrypoint = 'test_case:a.b'", 'entrypoint: must use "module:function" format'),
        (
            "entrypoint = 'test_case:hots'",
            "entrypoint: module 'test_case' has no function 'hots'; did you mean 'host'?",
        ),
        (
            "entrypoint = 'test_cas:host'",
            (
                "entrypoint: module 'test_cas' is neither in the group's folder nor importable; "
                "did you mean 'test_case'?"
            ),
        ),
        ("entrypoint = 'test_case:os'", "entrypoint: 'os' of module 'test_case' is a module"),
        ("entrypoint = 'test_case:N'", "entrypoint: 'N' of module 'test_case' is no function"),
        (
            "entrypoint = 'test_case:two'",
            "entrypoint: 'two' of module 'test_case' needs arguments: a, c",
        ),
        (
            "entrypoint = 'os:path'",
            "entrypoint: module 'os' of Python has no function 'path'",
        ),
        (
            "entrypoint = 'package.absent:f'",
            "entrypoint: module 'package.absent' is not in the folder of its package 'package'",
        ),
        (
            "entrypoint = 'package.inner:absent'",
            "entrypoint: module 'package.inner' has no function 'absent'",
        ),
        ("command = 'serve'", "command: must be a list of strings"),
        ("command = []", "command: must not be empty"),
        ("command = ['x', 8080]", "command: item 2 must be a string"),
        ("env = {PORT = 8080}", "env.PORT: must be a string"),
        (
            "env = {PORT = '${env.PATHH}'}",
            "env.PORT: unknown variable ${env.PATHH}; did you mean 'env.PATH'?",
        ),
        ("cwd = '${port.x}'", "cwd: unknown variable ${port.x}"),
        (
            "ports = ['a b']",
            (
                "ports: item 1 must be a name: up to 64 letters, digits, '_', '.' and '-', "
                "with a letter or digit first"
            ),
        ),
        (
            "ports = ['a-b', 'a_b']",
            "ports: shares the variable TESTRIUM_PORT_A_A_B with the port 'a:a-b'",
        ),
        (
            "events = ['']",
            (
                "events: item 1 must be a non-empty string of up to 200 characters "
                "without control characters"
            ),
        ),
        ("ready = 'x'", "ready: must be a table"),
        ("ready = {}", "ready: must have one of: tcp, http, log, file, command, plugin"),
        ("ready = {tcp = '1', stat = 3}", "ready.stat: unknown key; did you mean 'status'?"),
        ("ready = {tcp = '1', file = 'x'}", "ready.file: cannot stand beside 'tcp'"),
        ("ready = {tcp = '1', status = 200}", "ready.status: belongs to 'http'"),
        ("ready = {tcp = 'x'}", f"ready.tcp: 'x': {TCP}"),
        ("ready = {tcp = 'localhost'}", f"ready.tcp: 'localhost': {TCP}"),
        ("ready = {tcp = '70000'}", f"ready.tcp: '70000': {TCP}"),
        ("ready = {tcp = ':80'}", "ready.tcp: ':80': must have a host before the ':'"),
        ("ready = {http = '127.0.0.1:80/x'}", f"ready.http: '127.0.0.1:80/x': {HTTP}"),
        ("ready = {http = '/health'}", f"ready.http: '/health': {HTTP}"),
        ("ready = {http = 'http:///x'}", f"ready.http: 'http:///x': {HTTP}"),
        ("ready = {http = 'ftp://a'}", f"ready.http: 'ftp://a': {HTTP}"),
        (
            "ready = {http = 'http://a b/'}",
            "ready.http: 'http://a b/': must be a URL without spaces",
        ),
        (
            "ready = {http = 'http://a:x/'}",
            (
                "ready.http: 'http://a:x/': is no URL: Port could not be cast to integer value"
                " as 'x'"
            ),
        ),
        (
            "ready = {log = 'up'}",
            "ready.log: this unit has no output: it has neither entrypoint nor command",
        ),
        ("stop = 'runer'", "stop: must be one of: self, runner; did you mean 'runner'?"),
        (
            "stop_signal = 'SIGTREM'",
            "stop_signal: must be the name of a signal, such as \"TERM\"; did you mean 'TERM'?",
        ),
        ("stop_signal = ''", 'stop_signal: must be the name of a signal, such as "TERM"'),
        ("grace = -1", "grace: must be a number of seconds, 0 or more"),
        ("exit = 3", "exit: must be a list of exit codes"),
        ("exit = [256]", "exit: item 1 must be an integer between 0 and 255"),
        ("exit = []", "exit: must not be empty"),
        (
            "in-except = 'reload'",
            "in-except: must be one of: Stop, Resume, Reload, Resume-ALL; did you mean 'Reload'?",
        ),
        ("restarts = -1", "restarts: must be a non-negative integer"),
        (
            "max_rss = 200",
            'max_rss: must be a size such as "200MB" (B, kB, MB, GB, KiB, MiB or GiB)',
        ),
        ("max_cpu = 0", "max_cpu: must be a positive number"),
        ("unit_dependencies = ['a']", "unit_dependencies: unit a depends on itself"),
        (
            "unit_dependencies = ['ohter']",
            "unit_dependencies: unit a depends on unknown unit ohter; did you mean 'other'?",
        ),
        ("unit_dependencies = ['off']", "unit_dependencies: unit a depends on disabled unit off"),
        (
            "env = {A = '${probe.other.ready.port}'}",
            "env.A: ${probe.other.ready.port}: 'other' is no unit that 'a' depends on",
        ),
        (
            "unit_dependencies = ['other']\nenv = {A = '${probe.other.ready}'}",
            "env.A: ${probe.other.ready} must have the form ${probe.UNIT.STEP.FIELD}",
        ),
    ],
)
def test_a_key_of_a_unit(
    workspace: Workspace, problems_of: Problems, text: str, problem: str
) -> None:
    workspace.write(
        {
            "g/test_case.py": (
                "import os\nN = 3\ndef host(a=1, *b, **c): pass\ndef two(a, b=1, *, c): pass\n"
            ),
            "g/package/__init__.py": "",
            "g/package/inner.py": "x = 1",
        }
    )
    line = 3 + text.count("\n")
    assert problems_of(a=text, other="", off="enabled = false") == [f"{UNIT}:{line}: {problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "log = 'a('",
            "'a(', column 2: no regular expression: missing ), unterminated subpattern",
        ),
        ("log = 'a'\nkey = '${id}'", "unknown variable ${id}"),
        ("log = '(?P<id>a)'\nkey = '${idd}'", "unknown variable ${idd}; did you mean 'id'?"),
        ("log = '(?P<id>a)'\nmeta = {x = '${ib}'}", "unknown variable ${ib}"),
        ("log = 'a'\ntype = 'Send'", "a Send needs a key"),
        (
            "log = 'a'\ntype = 'send'",
            "must be one of: Default, Exception, Send, Receive; did you mean 'Send'?",
        ),
    ],
)
def test_a_log_probe(problems_of: Problems, text: str, problem: str) -> None:
    (found,) = problems_of(a=f"command = ['x']\n[['a'.probes]]\nstep = 's'\n{text}")
    place, _, message = found.partition(": ")
    assert place == f"{UNIT}:{6 + text.count(chr(10))}"
    assert message.partition(": ")[2] == problem


def test_exclusive_keys(workspace: Workspace, problems_of: Problems) -> None:
    workspace.write({"g/test_case.py": "def host(): pass"})
    assert problems_of(
        a="""
        entrypoint = "test_case:host"
        command = ["x"]
        ready_event = "up"
        ready = {file = "x"}
        """
    ) == [
        f"{UNIT}:5: command: cannot stand beside 'entrypoint'",
        f"{UNIT}:7: ready: cannot stand beside 'ready_event'",
    ]


def test_cycles_name_their_members(problems_of: Problems) -> None:
    assert problems_of(
        a="unit_dependencies = ['b']",
        b="unit_dependencies = ['c']",
        c="unit_dependencies = ['a', 'd']",
        d="unit_dependencies = ['e']",
        e="unit_dependencies = ['d']",
        f="unit_dependencies = ['e']",
    ) == [
        f"{UNIT}:3: unit_dependencies: cycle: a -> b -> c -> a",
        "g/units/d.toml:3: unit_dependencies: cycle: d -> e -> d",
    ]


def test_init_is_required_and_unique(workspace: Workspace, problems_of: Problems) -> None:
    workspace.group(a="", b="", c="", d="")
    workspace.write(
        {
            "g/units/b.toml": "[b]\n\ninit = 0",
            "g/units/c.toml": "\n[c]\nenabled = true",
            "g/units/d.toml": "[d]\ninit = -1",
        }
    )
    assert workspace.problems() == [
        "g/units/b.toml:3: init: duplicate unit init index 0: a and b",
        "g/units/c.toml:1: init: is required",
        "g/units/d.toml:2: init: must be a non-negative integer",
    ]


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
            "'-', with a letter or digit first"
        ),
        "g/units/client.toml: is not listed in Configs.units; did you mean 'clint'?",
        'g/units/empty.toml: the table ["empty"] is missing',
        'g/units/host.toml:1: x: unexpected: the only table of this file is ["host"]',
        'g/units/host.toml:3: hots: the table must be named like the file: ["host"]',
        "g/units/host.toml:5: innit: unknown key; did you mean 'init'?",
        'g/units/two.toml:3: three: unexpected: the only table of this file is ["two"]',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x = ", "g/config.toml:1: no TOML: Invalid value (at end of document)"),
        ("[Configs]\nunits = ['a']\nunits = ['a']", "g/config.toml:3: no TOML: Cannot overwrite"),
        ("", "g/config.toml: the table [Configs] is missing"),
        ("Configs = 3", "g/config.toml: the table [Configs] is missing"),
        ("[Configs]\ntimeout = 3", "g/config.toml:1: units: is required"),
        ("[Configs]\nunits = []", "g/config.toml:2: units: must not be empty"),
        ("a = " + "[" * 5000, "g/config.toml: is nested too deeply"),
        ("a = 1" + "0" * 5000, "g/config.toml: no TOML: Exceeds the limit"),
    ],
)
def test_a_config_that_cannot_be_read(workspace: Workspace, text: str, problem: str) -> None:
    workspace.write({"g/config.toml": text, "g/units/none.txt": ""})
    (found,) = workspace.problems()
    assert found.startswith(problem)


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
def test_many_dots_in_a_text_are_no_nesting(workspace: Workspace, quotes: str) -> None:
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


def test_a_setup_that_is_not_there(workspace: Workspace, problems_of: Problems) -> None:
    """Of a disabled unit it is not needed; as a default it is for groups that have one."""
    workspace.write({"testrium.toml": "[unit]\nuse_setup = true"})
    units = {"a": "use_setup = true", "b": "enabled = false\nuse-setup = true", "c": ""}
    assert problems_of(**units) == [
        "g/units/a.toml:3: use_setup: there is no setup.py to wait for in the group's folder"
    ]
    workspace.write({"g/setup.py": "def main(): pass"})
    workspace.group(**units)
    assert workspace.loaded().has_setup


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
        "g/odd.py:2: no Python: '(' was never closed",
        "g/setup.py: has no function main()",
        "g/test_case.py:3: no Python: invalid syntax",
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
        "c/config.toml: is missing beside units/*.toml",
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
