"""What the doctor says about machines and projects, good ones and bad ones."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from testrium import doctor
from testrium.declared.groups import Group
from testrium.doctor import (
    MachineCheck,
    check_requirements,
    exit_code,
    judge_open_files,
    run_checks,
    run_host_checks,
)
from testrium.errors import ExitCode, InfraError, UsageError
from testrium.plan.scenarios import Machine


@pytest.fixture(autouse=True)
def without_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run inside of each test; `test_the_command` has one."""
    monkeypatch.setattr(doctor, "check_trial", lambda: MachineCheck("trial", "ok", ""))


def states(checks: Iterable[MachineCheck]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def group(folder: Path, configs: str = "") -> None:
    (folder / "units").mkdir(parents=True)
    (folder / "config.toml").write_text(f"[Configs]\nunits = ['u']\n{configs}")
    (folder / "units/u.toml").write_text("[u]\ninit = 0\ncommand = ['true']")


def test_a_good_project(tmp_path: Path) -> None:
    group(tmp_path / "g", "requires = ['python:json']")
    checks = run_checks(tmp_path)
    assert "problem" not in states(checks).values()
    assert states(checks)["groups"] == "ok"
    assert states(checks)["python:json"] == "ok"
    assert not (tmp_path / ".testrium").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_a_wrong_project_file(tmp_path: Path) -> None:
    (tmp_path / "testrium.toml").write_text("stat = 1")
    check = run_checks(tmp_path)[-1]
    assert (check.name, check.state) == ("project", "problem")
    assert "1: stat: unknown key" in check.found
    assert exit_code([check]) == ExitCode.CONFIG_ERROR


def test_wrong_groups(tmp_path: Path) -> None:
    group(tmp_path / "g", "tiemout = 3\nx = 1")
    checks = run_checks(tmp_path)
    (found,) = [check for check in checks if check.name == "groups"]
    assert found.found == f"2 problems in the groups below {tmp_path}"
    assert found.advice == "testrium check"


def test_what_is_required_and_missing() -> None:
    groups = [
        Group("a", Path("a"), (), requires=("redis-server", "python:x")),
        Group("b", Path("b"), (), requires=("redis-server",)),
    ]
    machine = Machine(has_program=lambda _: False, has_module=lambda _: True)
    assert [check[:3] for check in check_requirements(groups, machine)] == [
        ("python:x", "ok", "required by a"),
        ("redis-server", "warning", "not found on PATH, required by a, b"),
    ]


@pytest.mark.parametrize(
    ("soft", "state"), [(256, "warning"), (1024, "ok"), (resource.RLIM_INFINITY, "ok")]
)
def test_open_files(soft: int, state: str) -> None:
    assert judge_open_files(soft, 4096).state == state


def test_a_state_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InfraError("cannot open Data.db: disk I/O error")

    monkeypatch.setattr("testrium.doctor.open_database", refuse)
    (found,) = [check for check in run_checks(tmp_path) if check.name == "state folder"]
    assert found.state == "problem"
    assert found.found.endswith(".testrium: cannot open Data.db: disk I/O error")
    assert found.advice.startswith("make it writable")
    assert exit_code([found]) == ExitCode.ERROR


def test_a_temporary_folder_with_a_long_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp/" + "x" * 100)
    check = doctor.check_sockets()
    assert check.state == "problem"
    assert check.advice == "set TMPDIR to a shorter path"


def test_warnings_do_not_count() -> None:
    assert (
        exit_code([MachineCheck("a", "warning", ""), MachineCheck("b", "ok", "")])
        == ExitCode.SUCCESS
    )


def test_the_command(tmp_path: Path) -> None:
    group(tmp_path / "g")
    done = subprocess.run(
        [sys.executable, "-m", "testrium", "doctor", "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert checks["trial"]["state"] == "ok"
    assert set(checks["trial"]) == {"name", "state", "found", "advice"}


def test_host_is_checked_where_it_is(tmp_path: Path) -> None:
    group(tmp_path / "g")
    unit = "[u]\ninit = 0\nhost = 'edge'\ncommand = ['no-such-program']"
    (tmp_path / "g/units/u.toml").write_text(unit)
    host = f"connect = ['sh', '-c']\naddress = '127.0.0.1'\npython = '{sys.executable}'"
    (tmp_path / "testrium.toml").write_text(f"[hosts.edge]\n{host}\n")
    checks = {check.name: check for check in run_host_checks(tmp_path, "edge")}
    names = ("connection", "python", "system", "clock", "processes", "ports", "address")
    assert {name: checks[name].state for name in names} == dict.fromkeys(names, "ok")
    assert checks["no-such-program"].found == "is not on PATH there"
    with pytest.raises(UsageError, match=r"--host egde: .*did you mean 'edge'"):
        run_host_checks(tmp_path, "egde")


@pytest.mark.parametrize(
    ("host", "name", "told"),
    [
        ("connect = ['no-such-ssh']", "connection", "'no-such-ssh' cannot be started"),
        (
            "connect = ['sh', '-c', 'echo no route >&2; exit 255']",
            "connection",
            "ended with exit code 255: no route",
        ),
        (
            "connect = ['sh', '-c']\npython = '/no/python'",
            "connection",
            "(is python = '/no/python' there?)",
        ),
        (
            f"connect = ['sh', '-c']\npython = '{sys.executable}'\naddress = 'no.such.invalid'",
            "address",
            "Name or service not known",
        ),
    ],
)
def test_what_is_wrong_with_a_host_is_told(tmp_path: Path, host: str, name: str, told: str) -> None:
    group(tmp_path / "g")
    unit = "[u]\ninit = 0\nhost = 'edge'\ncommand = ['true']"
    (tmp_path / "g/units/u.toml").write_text(unit)
    (tmp_path / "testrium.toml").write_text(f"[hosts.edge]\n{host}\n")
    [problem] = [check for check in run_host_checks(tmp_path, "edge") if check.state != "ok"]
    assert problem.name == name
    assert told in problem.found
