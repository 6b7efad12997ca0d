"""What is wrong in config.toml is told at its line."""

from __future__ import annotations

import pytest

from tests.load.conftest import Problems

CONFIG = "g/config.toml"

TOO_LONG = "must be a number that fits into 64 bits, got a number of too many digits"


DURATION = 'use a number of seconds or a text such as "80ms" (us, ms, s, m, h, d)'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("tiemout = 4", "tiemout: unknown key; did you mean 'timeout'?"),
        ("Timeout = 4", "Timeout: unknown key; did you mean 'timeout'?"),
        ("zzz = 4", "zzz: unknown key"),
        ("name = 'x'", "name: unknown key; did you mean 'title'?"),
        ("description = 'x'", "description: unknown key; did you mean 'purpose'?"),
        ("circuits = []", "circuits: unknown key: [[circuits]] is a table of its own"),
        ("verify = {}", "verify: unknown key: [verify] is a table of its own"),
        ("metrics = {}", "metrics: unknown key: [metrics] is a table of its own"),
        ("enabled = 1", "enabled: must be a boolean, true or false, got 1"),
        ("enabled = 'true'", "enabled: must be a boolean, true or false, got 'true'"),
        ("timeout = 0", "timeout: must be a positive number, got 0"),
        ("timeout = -1", "timeout: must be a positive number, got -1"),
        ("timeout = true", f"timeout: invalid duration true: {DURATION}"),
        ("timeout = nan", f"timeout: invalid duration nan: {DURATION}"),
        ("timeout = inf", f"timeout: invalid duration inf: {DURATION}"),
        ("timeout = '30'", f"timeout: invalid duration '30': {DURATION}"),
        ("repeat = 11", "repeat: must be an integer between 0 and 10, got 11"),
        ("repeat = 1.0", "repeat: must be an integer between 0 and 10, got 1.0"),
        ("repeat = true", "repeat: must be an integer between 0 and 10, got true"),
        ("order = 1.5", "order: must be an integer, got 1.5"),
        (f"order = {'9' * 4000}", f"order: {TOO_LONG}"),
        (f"repeat = 0x{'f' * 9000}", f"repeat: {TOO_LONG}"),
        (
            f"timeout = {'9' * 4000}",
            "timeout: must be at most 1000000000 seconds, got a number of too many digits",
        ),
        ("timeout = 1e300", "timeout: must be at most 1000000000 seconds, got 1e+300"),
        ("title = 3", 'title: must be a string, got 3: write "3"'),
        ('title = "a\\u0000"', "title: must be a string, got 'a\\x00'"),
        ("tags = 'x'", "tags: must be a list of strings, got 'x': write [\"x\"]"),
        (
            "tags = ['x', 3]",
            "tags: item 2 must be a non-empty string without control characters, got 3",
        ),
        ("tags = ['x', 'x']", "tags: contains duplicate values: x"),
        ("debug-modes = []", "debug-modes: must not be empty"),
        (
            "debug-modes = ['INFOO']",
            (
                "debug-modes: item 1 must be one of: DEBUG, INFO, WARNING, EXCEPT; "
                "got 'INFOO'; did you mean 'INFO'?"
            ),
        ),
        (
            "test-modes = 'all'",
            (
                "test-modes: must be one of: DEBUG, INFO, WARNING, EXCEPT, All; got 'all';"
                " did you mean 'All'?"
            ),
        ),
        ("test-modes = 3", "test-modes: must be a list of strings, got 3"),
        ("use-ai = true", "use-ai: needs a command in [ai] of the project file"),
        ("gen-metrics = 0", "gen-metrics: must be a boolean, true or false, got 0"),
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
        ("[[checks]]\nexists = 'x'", "3: checks[1].name: is required"),
        ("[env]\nA = 3", '4: env.A: must be a string, got 3: write "3"'),
        ("[env]\n'A=B' = ''", "4: env.'A=B': is not a valid name of an environment variable"),
        (
            "[env]\nA = 3\nB = '${env.A}'",
            '4: env.A: must be a string, got 3: write "3"',
        ),
        ("[env]\nA = '${port.http}'", "4: env.A: unknown variable ${port.http}"),
        ("[env]\nA = '${mod}'", "4: env.A: unknown variable ${mod}; did you mean 'mode'?"),
        (
            "[env]\nA = '${probe.a.ready.x}'",
            "4: env.A: ${probe.a.ready.x} cannot be used here: write a fixed value",
        ),
        ("[env]\nA = '${mode'", "4: env.A: '${mode', column 1: '${' without '}'"),
        ("[verify]\nsetle = '1s'", "4: verify.setle: unknown key; did you mean 'settle'?"),
        (
            "[verify]\nsettle = -3",
            f"4: verify.settle: invalid duration -3: {DURATION}",
        ),
        (
            "[verify]\nsettle = '3 hours'",
            "4: verify.settle: invalid duration '3 hours': use 3h, 180m or seconds",
        ),
        (
            "[verify]\nallow = ['b:X']",
            "4: verify.allow: 'b:X', column 1: unknown unit 'b'",
        ),
        (
            "[verify]\nmask = ['x', '(']",
            (
                "4: verify.mask: invalid regular expression: missing ), unterminated subpattern"
                " at position 0"
            ),
        ),
        (
            "[verify]\norphans = 'forbidden'",
            (
                "4: verify.orphans: must be one of: forbid, allow; got 'forbidden';"
                " did you mean 'forbid'?"
            ),
        ),
        ("[[circuits]]\nroute = ['a:x']", "3: circuits[1].name: is required"),
        ("[[circuits]]\nname = 'c'", "3: circuits[1].route: is required"),
        ("[circuits]\nname = 'c'", "3: circuits: must be a list of tables: [[circuits]]"),
        (
            "[[circuits]]\nname = 'c'\nroute = [\n'a:x',\n'a:y}']",
            (
                "7: circuits[1].route: 'a:y}', column 4: unexpected '}': "
                "a count is one of ? * + {n} {n,} {n,m}, at the end"
            ),
        ),
        (
            "[[circuits]]\nname = 'c'\nroute = ['a:x']\nkeys = '5..2'",
            '6: circuits[1].keys: must be a number or a range: "100", "1..", "0..5", got \'5..2\'',
        ),
        (
            f"[[circuits]]\nname = 'c'\nroute = ['a:x']\nkeys = '1..{10**12}'",
            (
                "6: circuits[1].keys: must be less than 1 000 000 000 000 instances,"
                " got '1..1000000000000'"
            ),
        ),
        (
            f"[[circuits]]\nname = 'c'\nroute = ['a:x']\nkeys = {10**12}",
            "6: circuits[1].keys: must be less than 1 000 000 000 000 instances, got 1000000000000",
        ),
        (
            "[[circuits]]\nname = 'c'\nroute = ['a:x']\nkeys = -1",
            '6: circuits[1].keys: must be a number or a range: "100", "1..", "0..5", got -1',
        ),
        (
            "[[circuits]]\nname = 'c'\nroute = ['a:x']\nnever = ['a:y?']",
            "6: circuits[1].never: 'a:y?': what must never happen has no count",
        ),
        (
            "[[circuits]]\nname = 'c'\nroute = ['a:x']\n[[circuits]]\nname = 'c'\nroute = ['a:x']",
            "7: circuits[2].name: another circuit has the name 'c'",
        ),
    ],
)
def test_the_other_tables(problems_of: Problems, text: str, problem: str) -> None:
    assert problems_of(text) == [f"{CONFIG}:{problem}"]


HISTORY = {"name": "h", "model": "register", "invoke": "a:*-asked", "answer": "a:*-done"}


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (
            "model",
            "stack",
            "expected register, counter, set, queue or module:function, got 'stack'",
        ),
        (
            "model",
            "models:stack",
            "module 'models' is neither in the group's folder nor importable",
        ),
        ("invoke", "b:*-asked", "'b:*-asked': unknown unit 'b'"),
        ("invoke", "a:*-*", "'a:*-*': one '*' in the step is the operation's name"),
        ("answer", "a:*-asked", "must differ from invoke, got 'a:*-asked'"),
        (
            "key",
            "${item}",
            "unknown ${item}: use ${meta.FIELD}, ${key}, ${unit} or ${operation}",
        ),
    ],
)
def test_histories(problems_of: Problems, key: str, value: str, problem: str) -> None:
    table = HISTORY | {key: value}
    lines = "\n".join(f'{name} = "{text}"' for name, text in table.items())
    line = 4 + list(table).index(key)
    told = f"{CONFIG}:{line}: histories[1].{key}: {problem}"
    assert problems_of(f"[[histories]]\n{lines}") == [told]


def test_a_name_of_the_user_begins_with_the_mark_of_unknown_keys(problems_of: Problems) -> None:
    assert problems_of('[Configs.resources]\n"\\u0000" = "a"') == [
        f"{CONFIG}:4: resources.'\\x00': is not a valid name of a resource",
        f"{CONFIG}:4: resources.'\\x00': must be a positive number, got 'a'",
    ]


def test_of_a_long_value_the_message_shows_both_ends(problems_of: Problems) -> None:
    route = "|".join(["a:x"] * 20_000)
    (told,) = problems_of(f"[[circuits]]\nname = 'c'\nroute = ['{route}', 'a:y']")
    assert len(told) < 1100
    assert told.startswith("g/config.toml:5: circuits[1].route: 'a:x|a:x")
    assert told.endswith("column 1: an alternative is given twice")
