"""Mistakes that users make: each message names the file, the line, the value and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from testrium.cli.main import entry
from testrium.errors import ExitCode

FILES = {
    "shop/config.toml": """\
[Configs]
units = ["api", "worker"]
timeout = 10
tags = ["http", "slow"]

[[circuits]]
name = "order"
route = ["api:sent", "worker:received"]
keys = "3"
""",
    "shop/units/api.toml": """\
[api]
init = 0
entrypoint = "actors:api"
ports = ["http"]
""",
    "shop/units/worker.toml": """\
[worker]
init = 1
entrypoint = "actors:worker"
unit_dependencies = ["api"]
""",
    "shop/actors.py": "def api():\n    pass\n\n\ndef worker():\n    pass\n",
}
CONFIG, API, WORKER, CODE = FILES
ROUTE = '["api:sent", "worker:received"]'


class Mistake(NamedTuple):
    """One text of a file replaced by another, and all lines that are printed then."""

    file: str
    right: str
    wrong: str
    lines: tuple[str, ...]
    arguments: tuple[str, ...] = ("check",)


def mistake(file: str, right: str, wrong: str, *lines: str) -> Mistake:
    return Mistake(file, right, wrong, lines)


IN_FILES = [
    mistake(
        CONFIG, "timeout", "tiemout", f"{CONFIG}:3: tiemout: unknown key; did you mean 'timeout'?"
    ),
    mistake(
        CONFIG,
        "[Configs]",
        "[config]",
        f"{CONFIG}:1: config: unknown table; did you mean [Configs]?",
    ),
    mistake(
        CONFIG,
        "[[circuits]]",
        "[[circuit]]",
        f"{CONFIG}:6: circuit: unknown table; did you mean 'circuits'?",
    ),
    mistake(
        CONFIG,
        "[[circuits]]",
        "[circuits]",
        f"{CONFIG}:6: circuits: must be a list of tables: [[circuits]]",
    ),
    mistake(
        CONFIG,
        "timeout = 10",
        'timeout = "ten"',
        f"{CONFIG}:3: timeout: invalid duration 'ten': use a number of seconds or a text such as"
        ' "80ms" (us, ms, s, m, h, d)',
    ),
    mistake(
        CONFIG,
        "timeout = 10",
        'timeout = "10 sec"',
        f"{CONFIG}:3: timeout: invalid duration '10 sec': use 10s, 10000ms or seconds",
    ),
    mistake(
        CONFIG,
        "timeout = 10",
        "timeout = -1",
        f"{CONFIG}:3: timeout: must be a positive number, got -1",
    ),
    mistake(
        CONFIG,
        "timeout = 10",
        'enabled = "yes"',
        f"{CONFIG}:3: enabled: must be a boolean, true or false, got 'yes'",
    ),
    mistake(
        CONFIG,
        "timeout = 10",
        "enabled = True",
        f"{CONFIG}:3: invalid TOML: write true, not True",
    ),
    mistake(
        CONFIG,
        "timeout = 10",
        "timeout = 10\ntimeout = 12",
        f"{CONFIG}:4: invalid TOML: `timeout` is defined twice",
    ),
    mistake(
        CONFIG,
        'name = "order"',
        "name = order",
        f"{CONFIG}:7: invalid TOML: 'order' needs quotes: \"order\"",
    ),
    mistake(
        CONFIG,
        '"worker"]\n',
        '"worker"\n',
        f"{CONFIG}:3: invalid TOML: a list is not closed: ',' or ']' expected (column 1)",
    ),
    mistake(
        CONFIG,
        '["api", "worker"]',
        '"api worker"',
        f"{CONFIG}:2: units: must be a list of strings, got 'api worker':"
        ' write ["api", "worker"]',
    ),
    mistake(
        CONFIG,
        '["api", "worker"]',
        '["api"]',
        "shop/units/worker.toml: is not listed in Configs.units: add 'worker' to the list",
    ),
    mistake(
        CONFIG,
        '["api", "worker"]',
        '["api", "worker", "db"]',
        f"{CONFIG}:2: units: the file units/db.toml is missing: write it, or take 'db' out of"
        " the list",
    ),
    mistake(
        CONFIG,
        ROUTE,
        '["api:sent -> worker:received"]',
        f"{CONFIG}:8: circuits[1].route: 'api:sent -> worker:received': a route is a list of hops,"
        f" without arrows: {ROUTE}",
    ),
    mistake(
        CONFIG,
        ROUTE,
        '"api:sent -> worker:received"',
        f"{CONFIG}:8: circuits[1].route: must be a list of hops, got"
        f" 'api:sent -> worker:received': write {ROUTE}",
    ),
    mistake(
        CONFIG,
        "worker:received",
        "wroker:received",
        f"{CONFIG}:8: circuits[1].route: 'wroker:received', column 1: unknown unit 'wroker';"
        " did you mean 'worker'?",
    ),
    mistake(
        CONFIG,
        "worker:received",
        "worker",
        f"{CONFIG}:8: circuits[1].route: 'worker', column 1: expected unit:step, found 'worker'",
    ),
    mistake(
        CONFIG,
        'keys = "3"',
        'keys = "three"',
        f'{CONFIG}:9: circuits[1].keys: must be a number or a range: "100", "1..", "0..5",'
        " got 'three'",
    ),
    mistake(
        CONFIG,
        "[[circuits]]",
        '[verify]\nallow = ["ValueError"]\n\n[[circuits]]',
        f"{CONFIG}:7: verify.allow: item 1 must be unit:TypeName, such as"
        ' "ValueError:ValueError" or "*:ValueError", got \'ValueError\'',
    ),
    mistake(
        CONFIG,
        "[[circuits]]",
        '[[checks]]\nname = "c"\nlog = "apo"\ncontans = "x"\n[[circuits]]',
        f"{CONFIG}:8: checks[1].log: unknown unit 'apo'; did you mean 'api'?",
        f"{CONFIG}:9: checks[1].contans: unknown key; did you mean 'contains'?",
    ),
    mistake(
        API,
        "actors:api",
        "actors.py:api",
        f"{API}:3: entrypoint: 'actors.py:api' names a file, not a module: write 'actors:api'",
    ),
    mistake(
        API,
        "actors:api",
        "actors:aip",
        f"{API}:3: entrypoint: module 'actors' has no function 'aip'; did you mean 'api'?",
    ),
    mistake(
        API,
        "actors:api",
        "actor:api",
        f"{API}:3: entrypoint: module 'actor' is neither in the group's folder nor importable;"
        " did you mean 'actors'?",
    ),
    mistake(
        API,
        "ports",
        'env = {CACHE = "${HOME}/cache"}\nports',
        f"{API}:4: env.CACHE: unknown variable ${{HOME}}: for the environment write ${{env.HOME}}",
    ),
    mistake(
        API,
        "ports",
        'env = {CACHE = "${NOPE}"}\nports',
        f"{API}:4: env.CACHE: unknown variable ${{NOPE}}, and NOPE is not set in the environment",
    ),
    mistake(
        API,
        "ports",
        'env = {CACHE = "${env.NOPE}"}\nports',
        f"{API}:4: env.CACHE: ${{env.NOPE}}: NOPE is not set in the environment",
    ),
    mistake(
        API,
        'entrypoint = "actors:api"',
        'command = ["uvicrn-x", "app:app"]',
        f"{API}:3: command: 'uvicrn-x': no such program on PATH: install it, or name it in"
        " Configs.requires",
    ),
    mistake(
        API,
        'entrypoint = "actors:api"',
        'command = "uvicorn app:app"',
        f"{API}:3: command: must be a list of strings, got 'uvicorn app:app':"
        ' write ["uvicorn", "app:app"]',
    ),
    mistake(
        API,
        "ports",
        'cwd = "srv"\nports',
        f"{API}:4: cwd: 'srv': no such folder: make it, or give a path below the group's folder",
    ),
    mistake(
        API,
        "ports",
        'ready = {tcp = "${port.htpp}"}\nports',
        f"{API}:4: ready.tcp: unknown variable ${{port.htpp}}; did you mean 'port.http'?",
    ),
    mistake(
        API,
        "ports",
        'stop = "runnner"\nports',
        f"{API}:4: stop: must be one of: self, runner; got 'runnner'; did you mean 'runner'?",
    ),
    mistake(
        API,
        "ports",
        "ready = {tcp = 8080}\nports",
        f'{API}:4: ready.tcp: must be a non-empty string, got 8080: write "8080"',
    ),
    mistake(
        API,
        "ports",
        '[probes]\nlog = "x"\nstep = "y"\nports',
        f'{API}:4: probes: unexpected: ["api"] is the only table of this file:'
        ' write [["api".probes]]',
    ),
    mistake(
        API,
        "[api]",
        "[apo]",
        f'{API}:1: apo: the table must be named like the file: ["api"]',
    ),
    mistake(
        WORKER,
        '["api"]',
        '["apii"]',
        f"{WORKER}:4: unit_dependencies: unit worker depends on unknown unit apii;"
        " did you mean 'api'?",
    ),
    mistake(
        WORKER,
        "init = 1",
        "init = 0",
        f"{WORKER}:2: init: duplicate unit init index 0: api and worker",
    ),
    mistake(CODE, "def api():", "def api(:", f"{CODE}:1: Python syntax error: invalid syntax"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOPE", raising=False)
    monkeypatch.setenv("HOME", "/")
    return tmp_path


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("mistake", IN_FILES, ids=lambda each: each.wrong.splitlines()[0])
def test_a_mistake_in_a_file_is_told_with_its_place_and_its_remedy(
    folder: Path, capsys: pytest.CaptureFixture[str], mistake: Mistake
) -> None:
    assert mistake.right in FILES[mistake.file]
    wrong = FILES[mistake.file].replace(mistake.right, mistake.wrong, 1)
    write(folder, FILES | {mistake.file: wrong})
    assert entry(mistake.arguments) == ExitCode.CONFIG_ERROR
    *told, last = capsys.readouterr().err.splitlines()
    assert tuple(told) == mistake.lines
    assert last.endswith("nothing was started")


MOVED = {name.replace("shop/", "shop/inner/"): text for name, text in FILES.items()}
TWICE = {
    name.replace("shop", f"{group}/bad"): text for group in "ab" for name, text in FILES.items()
}


@pytest.mark.parametrize(
    ("files", "inside", "arguments", "code", "message"),
    [
        (FILES, "", "run --tag nope", 2, "no group matches --tag nope (tags: http, slow)"),
        (FILES, "", "shop", 3, "No such command 'shop'. Did you mean 'run shop'?"),
        (FILES, "", "run shpo", 3, "shpo: no such folder; did you mean 'shop'?"),
        (FILES, "", "run --less shpo", 3, "--less shpo: no such group; did you mean 'shop'?"),
        (FILES, "", "rnu", 3, "No such command 'rnu'. Did you mean 'run'?"),
        (
            FILES,
            "",
            "run --shuffle abc",
            3,
            "--shuffle abc: expected a number as SEED, or a PATH that exists",
        ),
        (FILES, "", "run -j many", 3, "expected a number from 1, or auto, got 'many'"),
        (FILES, "", "show shop", 3, "no run is kept in"),
        (FILES, "", "run shop/config.toml", 3, "shop/config.toml: is a file; give the group's fol"),
        (FILES, "", "explain lots", 3, "unknown finding 'lots'; did you mean 'lost'?"),
        (
            FILES,
            "shop/units",
            "run",
            2,
            "no group found: . lies inside the group 'shop': run the group with testrium run ..",
        ),
        (
            {CONFIG: FILES[CONFIG]},
            "",
            "run",
            2,
            (
                "shop/config.toml has no folder units/ beside it: make one, with a file"
                " units/NAME.toml for each unit (testrium gen unit NAME)"
            ),
        ),
        (
            {API: FILES[API]},
            "",
            "run",
            3,
            ("shop/config.toml: is missing beside units/*.toml: write it, or take the folder away"),
        ),
        ({}, "", "run", 2, "no group found: a group is a folder with config.toml and units/*.toml"),
        (
            FILES | MOVED,
            "",
            "check",
            3,
            (
                "shop/inner/config.toml: is a group inside the group shop: set subgroups = true in"
                " shop/config.toml, or move one of them"
            ),
        ),
        (TWICE, "", "check a b", 0, "2 groups, 4 units"),
        (
            FILES | {"testrium.toml": "[run]\njbos = 3\n"},
            "",
            "run",
            3,
            "testrium.toml:2: run.jbos: unknown key; did you mean 'jobs'?",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_told_with_its_remedy(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: Mapping[str, str],
    inside: str,
    arguments: str,
    code: int,
    message: str,
) -> None:
    write(folder, files)
    monkeypatch.chdir(folder / inside)
    assert entry(arguments.split()) == code
    output = capsys.readouterr()
    assert message in output.out + output.err


def test_wrong_options_of_the_environment_are_told_as_such(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, FILES)
    monkeypatch.setenv("TESTRIUM_ADDOPTS", "--nope")
    assert entry(["run"]) == ExitCode.CONFIG_ERROR
    assert "(TESTRIUM_ADDOPTS adds '--nope')" in capsys.readouterr().err
