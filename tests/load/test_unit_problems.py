"""What is wrong in the files of units, and between units, is told at its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.load.conftest import Workspace
from tests.load.conftest import Problems

TCP = "must be a port, from 1 to 65535, or HOST:PORT"


HTTP = "must be a URL that begins with http://HOST or https://HOST"


UNIT = "g/units/a.toml"


ENTRYPOINT = 'entrypoint: must use "module:function" format, got '


DURATION = 'use a number of seconds or a text such as "80ms" (us, ms, s, m, h, d)'


ENCODINGS = "(Python's names: utf-8, latin-1, cp1252, shift_jis, ...)"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("restrats = 1", "restrats: unknown key; did you mean 'restarts'?"),
        *(
            (f"{key} = {value}", f"{key}: unknown key; did you mean '{meant}'?")
            for key, value, meant in (
                ("depends_on", "['other']", "unit_dependencies"),
                ("depends-on", "{other = {}}", "unit_dependencies"),
                ("needs", "['other']", "unit_dependencies"),
                ("After", "['other']", "unit_dependencies"),
                ("requires", "['other']", "unit_dependencies"),
                ("environment", "['A=1']", "env"),
                ("workdir", "'x'", "cwd"),
                ("working_dir", "'x'", "cwd"),
                ("healthcheck", "{test = 'x'}", "ready"),
                ("cmd", "['x']", "command"),
                ("exec", "['x']", "command"),
                ("run", "['x']", "command"),
                ("retries", "3", "restarts"),
            )
        ),
        ("image = 'redis:7'", "image: unknown key"),
        ("volumes = ['.:/x']", "volumes: unknown key"),
        ("ready = {url = 'http://a'}", "ready.url: unknown key; did you mean 'http'?"),
        ("ready = {port = 80}", "ready.port: unknown key; did you mean 'tcp'?"),
        ("entrypoint = 'test_case.host'", ENTRYPOINT + "'test_case.host': write 'test_case:host'"),
        ("entrypoint = 'package.inner.f'", ENTRYPOINT + "'package.inner.f'"),
        (
            "entrypoint = 'test_case'",
            "entrypoint: must use \"module:function\" format, got 'test_case'",
        ),
        (
            "entrypoint = 'test_case:a.b'",
            "entrypoint: must use \"module:function\" format, got 'test_case:a.b'",
        ),
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
        ("entrypoint = 'test_case:N'", "entrypoint: 'N' of module 'test_case' is not a function"),
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
        ("command = 'serve'", "command: must be a list of strings, got 'serve': write [\"serve\"]"),
        ("command = []", "command: must not be empty"),
        ("command = ['', 'x']", "command: must begin with the name of a program"),
        ("command = ['x', 8080]", 'command: item 2 must be a string, got 8080: write "8080"'),
        ("env = {PORT = 8080}", 'env.PORT: must be a string, got 8080: write "8080"'),
        (
            "env = {PORT = '${env.PATHH}'}",
            "env.PORT: ${env.PATHH}: PATHH is not set in the environment; did you mean 'env.PATH'?",
        ),
        ("cwd = '${port.x}'", "cwd: unknown variable ${port.x}"),
        (
            "ports = ['a b']",
            (
                "ports: item 1 must be a name: up to 64 letters, digits, '_', '.' and '-', "
                "with a letter or digit first, got 'a b'"
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
        ("ready = 'x'", "ready: must be a list of tables, or one table, got 'x'"),
        ("ready = {ended = false}", "ready.ended: must be true, got false"),
        ("ready = {}", "ready: must have one of: tcp, http, log, file, command, plugin, ended"),
        (
            "ready = {command = ['']}",
            "ready.command: must begin with the name of a program",
        ),
        ("ready = {tcp = '1', stat = 3}", "ready.stat: unknown key; did you mean 'status'?"),
        ("ready = {tcp = '1', file = 'x'}", "ready.file: conflicts with 'tcp': remove one of them"),
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
                "ready.http: 'http://a:x/': is not a URL: Port could not be cast to integer value"
                " as 'x'"
            ),
        ),
        (
            "ready = {log = 'up'}",
            "ready.log: this unit has no output: it has neither entrypoint nor command",
        ),
        (
            "stop = 'runer'",
            "stop: must be one of: self, runner; got 'runer'; did you mean 'runner'?",
        ),
        (
            "stop_signal = 'SIGTREM'",
            (
                "stop_signal: must be the name of a signal, such as \"TERM\", got 'SIGTREM';"
                " did you mean 'TERM'?"
            ),
        ),
        (
            "encoding = 'utf8s'",
            f"encoding: unknown encoding 'utf8s'; did you mean 'utf-8'? {ENCODINGS}",
        ),
        (
            "encoding = 'rot13'",
            f"encoding: unknown encoding 'rot13' {ENCODINGS}",
        ),
        ("encoding = 8", 'encoding: must be the name of an encoding, such as "latin-1", got 8'),
        ("stop_signal = ''", 'stop_signal: must be the name of a signal, such as "TERM"'),
        ("grace = -1", "grace: invalid duration -1: " + DURATION),
        ("exit = true", 'exit: must be an integer between 0 and 255, "!=0" or "any", got true'),
        (
            "exit = [256]",
            'exit: item 1 must be an integer between 0 and 255, "!=0" or "any", got 256',
        ),
        ("exit = []", "exit: must not be empty"),
        (
            "in-except = 'reload'",
            (
                "in-except: must be one of: Stop, Resume, Reload, Resume-ALL; got 'reload';"
                " did you mean 'Reload'?"
            ),
        ),
        ("restarts = -1", "restarts: must be a non-negative integer, got -1"),
        (
            "max_rss = 200",
            'max_rss: must be a size such as "200MB" (B, kB, MB, GB, KiB, MiB or GiB)',
        ),
        ("max_cpu = 0", "max_cpu: must be a positive number, got 0"),
        ("unit_dependencies = ['a']", "unit_dependencies: unit a depends on itself"),
        (
            "unit_dependencies = ['ohter']",
            "unit_dependencies: unit a depends on unknown unit ohter; did you mean 'other'?",
        ),
        ("unit_dependencies = ['off']", "unit_dependencies: unit a depends on disabled unit off"),
        (
            "env = {A = '${probe.other.ready.port}'}",
            "env.A: ${probe.other.ready.port}: 'other' is not a unit that 'a' depends on",
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
            "'a(', column 2: invalid regular expression: missing ), unterminated subpattern",
        ),
        ("log = 'a'\nkey = '${id}'", "unknown variable ${id}"),
        ("log = '(?P<id>a)'\nkey = '${idd}'", "unknown variable ${idd}; did you mean 'id'?"),
        ("log = '(?P<id>a)'\nmeta = {x = '${ib}'}", "unknown variable ${ib}"),
        ("log = 'a'\ntype = 'Send'", "a Send needs a key"),
        (
            "log = 'a'\ntype = 'send'",
            "must be one of: Default, Exception, Send, Receive; got 'send'; did you mean 'Send'?",
        ),
    ],
)
def test_a_log_probe(problems_of: Problems, text: str, problem: str) -> None:
    (found,) = problems_of(a=f"command = ['x']\n[['a'.probes]]\nstep = 's'\n{text}")
    place, _, message = found.partition(": ")
    assert place == f"{UNIT}:{6 + text.count(chr(10))}"
    assert message.partition(": ")[2] == problem


def test_the_step_of_a_log_probe_is_one_for_all_lines(problems_of: Problems) -> None:
    text = "log = '(?P<id>a)'\nkey = '${id}'\nstep = 's${id}'"
    (found,) = problems_of(a=f"command = ['x']\n[['a'.probes]]\n{text}")
    assert found.endswith(
        "step: must not hold '${': the step is one for all lines; use meta, got 's${id}'"
    )


@pytest.mark.parametrize(
    ("key", "others", "message"),
    [
        (
            "ports = 'http'",
            "command = ['x', '${port.http}']\nready = {tcp = '${port.http}'}",
            "ports: must be a list of strings, got 'http': write [\"http\"]",
        ),
        (
            "command = 'python worker.py'",
            "ready = {log = 'up'}\n[['a'.probes]]\nlog = 'x'\nstep = 's'",
            (
                "command: must be a list of strings, got 'python worker.py':"
                ' write ["python", "worker.py"]'
            ),
        ),
        ("cmd = ['x']", "ready = {ended = true}", "cmd: unknown key; did you mean 'command'?"),
        ("entrypoint = 'x'", "ready = {log = 'up'}", ENTRYPOINT + "'x'"),
        (
            "paths = 'test_shop.py'",
            "kind = 'pytest'",
            "paths: must be a list of paths, got 'test_shop.py'",
        ),
        (
            "kind = 3",
            "paths = ['x']",
            (
                "kind: must be a name: up to 64 letters, digits, '_', '.' and '-', with a letter or"
                " digit first, got 3"
            ),
        ),
        (
            "unit_dependencies = 'other'",
            "env = {A = '${probe.other.up.port}'}",
            "unit_dependencies: must be a list of strings, got 'other': write [\"other\"]",
        ),
        (
            "depends_on = ['other']",
            "env = {A = '${probe.other.up.port}'}",
            "depends_on: unknown key; did you mean 'unit_dependencies'?",
        ),
    ],
)
def test_what_follows_from_a_key_that_cannot_be_read_is_not_told(
    workspace: Workspace, key: str, others: str, message: str
) -> None:
    if "paths" in key + others:
        workspace.write({"g/test_shop.py": "class TestShop:\n    def test_it(self): pass"})
    config = {
        "ports": "env = {URL = '${unit.a.port.http}'}\n[[faults]]\nlink = 'a.http'\ndo = 'reset'",
        "command": "checks = [{name = 'c', log = 'a', contains = 'x'}]",
    }.get(key.partition(" ")[0], "")
    workspace.group(a=f"{key}\n{others}", other="events = ['up']")
    workspace.write({"g/config.toml": f"{config}\n[Configs]\nunits = ['a', 'other']"})
    found = workspace.problems()
    assert found == [f"{UNIT}:3: {message}"]


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
        f"{UNIT}:5: command: conflicts with 'entrypoint': remove one of them",
        f"{UNIT}:7: ready: conflicts with 'ready_event': remove one of them",
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


def test_init_is_unique(workspace: Workspace, problems_of: Problems) -> None:
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
        "g/units/d.toml:2: init: must be a non-negative integer, got -1",
    ]
