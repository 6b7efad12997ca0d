"""`testrium.api`: runs from Python, without a terminal, in threads and beside event loops."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from testrium import api
from testrium.errors import ConfigError, NoGroupsError, UsageError

GROUP = {
    "config.toml": '[Configs]\nunits = ["a"]\ntags = ["quick", "one"]\n'
    '[[circuits]]\nname = "only"\nroute = ["a:sent"]\n',
    "units/a.toml": '["a"]\nentrypoint = "test_case:a"\n',
    "test_case.py": "import testrium\n\ndef a():\n    testrium.unit().send('sent', key='k1')\n",
}


def write_group(folder: Path, **changed: str) -> Path:
    for name, text in {**GROUP, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_run_has_its_groups_findings_circuits_and_events(tmp_path: Path) -> None:
    write_group(tmp_path / "good")
    write_group(
        tmp_path / "lossy",
        **{
            "config.toml": '[Configs]\nunits = ["a"]\n[verify]\nlinger = 0\n'
            '[[circuits]]\nname = "both"\nroute = ["a:sent", "a:got"]\n'
        },
    )
    run = api.run(cwd=tmp_path, jobs=2)
    good, lossy = run.groups
    assert (run.verdict, run.exit_code, run.passed) == ("fail", 1, False)
    assert (good.id, good.verdict, good.tags, good.passed) == (
        "good",
        "pass",
        ("quick", "one"),
        True,
    )
    assert [finding.code for finding in run.findings] == ["lost"]
    assert lossy.findings == run.findings
    assert [circuit.name for circuit in run.circuits] == ["only", "both"]
    assert [(event.unit, event.step, event.key) for event in run.events()] == [
        ("a", "sent", "k1")
    ] * 2
    assert "lost at a:got" in repr(run)
    assert "FAIL lossy" in lossy.text(tmp_path)
    assert run.as_json()["run"] == run.id == (run.folder or Path()).name


def test_options_select_as_those_of_the_command_line(tmp_path: Path) -> None:
    write_group(tmp_path / "one")
    write_group(tmp_path / "two", **{"config.toml": '[Configs]\nunits = ["a"]\nskip = "later"\n'})
    run = api.run(cwd=tmp_path, tags=["quick", "one"])
    assert [group.id for group in run.groups] == ["one"]
    (two,) = api.run("two", cwd=tmp_path).groups
    assert (two.verdict, two.reason, two.passed) == ("skip", "later", False)
    with pytest.raises(NoGroupsError, match="--tag nope"):
        api.run(cwd=tmp_path, tags="nope")
    with pytest.raises(NoGroupsError, match="everything passed"):
        api.run(cwd=tmp_path, failed=True)


def test_a_run_works_in_a_thread_and_inside_of_an_event_loop(tmp_path: Path) -> None:
    write_group(tmp_path)
    runs: list[api.Run] = []

    async def in_a_loop() -> None:
        runs.append(api.run(cwd=tmp_path, keep="none"))

    thread = threading.Thread(target=lambda: runs.append(api.run(tmp_path, cwd=tmp_path)))
    thread.start()
    thread.join()
    asyncio.run(in_a_loop())
    assert [run.passed for run in runs] == [True, True]
    assert [len(list(run.events())) for run in runs] == [1, 0]  # the second kept nothing


def test_mistakes_are_raised(tmp_path: Path) -> None:
    write_group(tmp_path, **{"units/a.toml": '["a"]\nentrypont = "test_case:a"\n'})
    with pytest.raises(ConfigError, match=r"units/a\.toml:2: entrypont: .*did you mean"):
        api.run(cwd=tmp_path)
    with pytest.raises(UsageError, match="no option 'job'; did you mean 'jobs'"):
        api.run(cwd=tmp_path, job=2)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="jobs=0: expected a number from 1"):
        api.run(cwd=tmp_path, jobs=0)
    with pytest.raises(UsageError, match="retries=-1: expected a number from 0"):
        api.run(cwd=tmp_path, retries=-1)
    with pytest.raises(UsageError, match="keep='some': expected one of all, failed, none"):
        api.run(cwd=tmp_path, keep="some")  # type: ignore[arg-type]


def test_importing_testrium_does_not_import_the_api() -> None:
    program = "import sys, testrium; sys.exit('testrium.api' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
