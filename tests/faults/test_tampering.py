"""Units that put something else in the place of their files: nothing waits for it without end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace


class Case(NamedTuple):
    """What the unit `a` does to its folder, and the findings that this comes to."""

    code: str
    codes: list[str]
    keys: str = ""


RELOAD = 'in-except = "Reload"\nrestarts = 1'
LOG_PROBE = '[["a".probes]]\nlog = "needle"\nstep = "found"'

#: More than can be read in time, and nothing of it was ever written.
SPARSE = "os.truncate({}, 1 << 40)"

CASES = {
    "the probe file of its next start is a pipe": Case(
        "put('probes-2.jsonl', os.mkfifo); os._exit(1)", ["infra GROUP"], RELOAD
    ),
    "the probe file of its next start has no end": Case(
        "put('probes-2.jsonl', zeros); os._exit(1)", ["infra GROUP"], RELOAD
    ),
    "the probe file is a terabyte": Case(SPARSE.format("mine / 'probes-1.jsonl'"), ["gap a"]),
    "its output is a pipe": Case("put('stdout.log', os.mkfifo); os._exit(1)", ["crash a"]),
    "its output is a folder": Case("put('stdout.log', os.mkdir); os._exit(1)", ["crash a"]),
    "its output is a pipe when it starts again": Case(
        "put('stderr.log', os.mkfifo); os._exit(1)", ["infra a", "infra GROUP"], RELOAD
    ),
    "its output is a pipe that is searched": Case(
        "put('stdout.log', os.mkfifo)", ["infra GROUP"], LOG_PROBE
    ),
    "its output is a terabyte that is searched": Case(SPARSE.format("1"), [], LOG_PROBE),
    "its output has no line ends": Case(
        "[os.write(1, b'x' * 500_000) for _ in range(60)]", [], LOG_PROBE
    ),
    "its stacks are a pipe": Case(
        "put('stacks.txt', os.mkfifo); time.sleep(60)", ["hang a"], "timeout = 0.5"
    ),
    "its stacks are a terabyte": Case(
        SPARSE.format("mine / 'stacks.txt'") + "; time.sleep(60)", ["hang a"], "timeout = 0.5"
    ),
    "it crashes into a pipe": Case(
        "put('stderr.log', os.mkfifo); ctypes.string_at(0)", ["crash a"]
    ),
    "the diagnostics are a pipe": Case(
        "put('../../diagnostics.txt', os.mkfifo); os._exit(1)", ["crash a"]
    ),
    "the summary is a pipe": Case("put('../../summary.json', os.mkfifo)", []),
    "the report of the run is a pipe": Case("put('../../../run.json', os.mkfifo)", []),
    "the history is a pipe": Case("put('../../../../../history.db', os.mkfifo)", []),
}

CODE = """
import ctypes, os, time
from pathlib import Path

mine = Path(os.environ["TESTRIUM_PROBES"]).parent

def put(name, make):
    (mine / name).unlink(missing_ok=True)
    make(mine / name)

def zeros(path):
    path.symlink_to("/dev/zero")

def a():
    testrium.unit().probe("alive")
    if "-1." in os.environ["TESTRIUM_PROBES"]:
        {code}
"""


@pytest.fixture(scope="module")
def outcome(
    tmp_path_factory: pytest.TempPathFactory, workplace_at: Callable[[Path], Workplace]
) -> Outcome:
    """All cases, in one run."""
    workplace = workplace_at(tmp_path_factory.mktemp("tampering"))
    for name, case in CASES.items():
        workplace.group(
            {"a": f'entrypoint = "test_case:a"\n{case.keys}'},
            CODE.format(code=case.code),
            configs="timeout = 30",
            name=name.replace(" ", "-"),
        )
    return workplace.run("-j", "2", limit_s=100)


@pytest.mark.parametrize("name", CASES)
def test_when(name: str, outcome: Outcome) -> None:
    group: Mapping[str, Any] = next(
        group for group in outcome.report["groups"] if group["id"] == name.replace(" ", "-")
    )
    found = [f"{each['code']} {each['where']}" for each in group["findings"]]
    assert found == [code.replace("GROUP", group["id"]) for code in CASES[name].codes]


def test_the_run_finishes(outcome: Outcome) -> None:
    assert outcome.exit_code == 5
    assert outcome.report["exit_code"] == 5
    assert "Traceback" not in outcome.stderr
    assert len(outcome.report["groups"]) == len(CASES)
