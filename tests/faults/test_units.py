"""Units that end in every bad way, all in one run: each is named, and nothing else happens."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace
    from tests.faults.conftest import Soundness


class Case(NamedTuple):
    """How the unit `a` behaves, and the findings that this comes to, as "code where"."""

    code: str
    codes: list[str]
    keys: str = ""


START = 'me = testrium.unit(); me.probe("alive")'

CASES = {
    "leaves by os._exit": Case(f"{START}; os._exit(3)", ["crash a"]),
    "segfaults": Case(f"{START}; os.kill(os.getpid(), signal.SIGSEGV)", ["crash a"]),
    "is killed": Case(f"{START}; os.kill(os.getpid(), signal.SIGKILL)", ["crash a"]),
    "aborts": Case(f"{START}; os.abort()", ["crash a"]),
    "raises": Case(f"{START}; raise ValueError('no')", ["exception a:ValueError"]),
    "cannot be imported": Case(
        "pass", ["exception a:ModuleNotFoundError"], 'entrypoint = "broken:main"'
    ),
    "is ready and dead at once": Case(
        'testrium.unit().probe("up"); os._exit(1)', ["crash a"], 'ready_event = "up"'
    ),
    "is never ready": Case(
        f"{START}; time.sleep(60)", ["unready a"], 'ready_event = "up"\nready_timeout = 0.3'
    ),
    "ends before it is ready": Case(START, ["unready a"], 'ready_event = "up"'),
    "deadlocks": Case(
        f"{START}; lock = threading.Lock(); lock.acquire(); lock.acquire()",
        ["hang a"],
        "timeout = 0.5",
    ),
    "ignores the signal to stop": Case(
        f"signal.signal(signal.SIGTERM, signal.SIG_IGN); {START}; time.sleep(60); time.sleep(60)",
        ["hang a"],
        "timeout = 0.5\ngrace = 0.1",
    ),
    "stops itself": Case(
        f"{START}; os.kill(os.getpid(), signal.SIGSTOP)", ["hang a"], "timeout = 0.5"
    ),
    "leaves a daemon with an empty environment": Case(
        f"{START}; daemon(); me.probe('daemon-is-off')", ["leak a"]
    ),
    "is a chain of forks": Case(f"{START}; chain(40)", ["leak a"]),
    "says nothing": Case("pass", ["silent a"]),
}

#: Nothing else marks the daemon; other processes of pytest run these cases at the same time.
DAEMON = ["sleep", f"64.{os.getpid()}"]

CODE = """
import os, signal, threading, time

def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/bin/sleep", {daemon}, {{}})
        os._exit(0)
    os.wait()

def chain(length):
    for _ in range(length):
        if os.fork():
            os._exit(0)
    time.sleep(60)

def a():
    {code}
"""


@pytest.fixture(scope="module")
def outcome(
    tmp_path_factory: pytest.TempPathFactory, workplace_at: Callable[[Path], Workplace]
) -> Outcome:
    """All cases, in one run, beside a group that is well."""
    workplace = workplace_at(tmp_path_factory.mktemp("units"))
    for name, case in CASES.items():
        entry = "" if "entrypoint" in case.keys else 'entrypoint = "test_case:a"\n'
        group = workplace.group(
            {"a": entry + case.keys},
            CODE.format(code=case.code, daemon=DAEMON),
            configs="timeout = 20",
            name=name.replace(" ", "-"),
            broken="import no_such_module\ndef main(): pass\n",
        )
        assert group.is_dir()
    workplace.group(
        {"a": 'entrypoint = "test_case:a"'}, CODE.format(code=START, daemon=DAEMON), name="well"
    )
    return workplace.run("-j", "2", limit_s=100)


def group_of(outcome: Outcome, name: str) -> Mapping[str, Any]:
    wanted = name.replace(" ", "-")
    group: Mapping[str, Any] = next(g for g in outcome.report["groups"] if g["id"] == wanted)
    return group


@pytest.mark.parametrize("name", CASES)
def test_a_unit_that(name: str, outcome: Outcome) -> None:
    group = group_of(outcome, name)
    found = [f"{each['code']} {each['where']}" for each in group["findings"]]
    assert found == CASES[name].codes


def test_beside_them_a_sound_group_passes_and_nothing_is_left(
    outcome: Outcome, soundness_of: Callable[[Path], Soundness]
) -> None:
    well = group_of(outcome, "well")
    assert well["verdict"] == "pass"
    soundness_of(Path(well["run_dir"]).parent).of(outcome, 1)
    sleepers = [p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == DAEMON]
    assert not sleepers
