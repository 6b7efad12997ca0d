"""What a shell is told to complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from testrium.cli.completion import VARIABLE
from testrium.cli.main import entry, main
from testrium.errors import ExitCode

CONFIG = """
[Configs]
units = ["only"]
tags = ["http", "slow"]
"""
UNIT = '[only]\ninit = 0\ncommand = ["true"]\n'


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two groups, and two runs of the first."""
    (tmp_path / "testrium.toml").write_text("")
    for name in ("shop/cart", "shop/search"):
        (tmp_path / name / "units").mkdir(parents=True)
        (tmp_path / name / "config.toml").write_text(CONFIG)
        (tmp_path / name / "units" / "only.toml").write_text(UNIT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(*words: str) -> list[str]:
    """What is offered for the last word."""
    *typed, incomplete = words
    shell = ShellComplete(main, {}, "testrium", VARIABLE)
    return [item.value for item in shell.get_completions(list(typed), incomplete)]


def ran(project: Path, group: str = "cart") -> str:
    command = [sys.executable, "-m", "testrium", "run", "--grep", group, "--plain"]
    output = subprocess.run(command, cwd=project, capture_output=True, text=True).stdout
    return output.rpartition("\nrun ")[2].split()[0]


def test_commands_and_options_are_completed(project: Path) -> None:
    assert completed("che") == ["check"]
    assert completed("run", "--max") == ["--maxfail", "--max-regression"]


def test_groups_are_completed_where_groups_are_asked_for(project: Path) -> None:
    assert completed("run", "shop/c") == ["shop/cart", "shop/c"]  # the last: a folder
    assert completed("run", "--less", "shop/") == ["shop/cart", "shop/search"]
    assert completed("--less", "shop/s") == ["shop/search"]


def test_tags_codes_and_templates_are_completed(project: Path) -> None:
    assert completed("run", "--tag", "s") == ["slow"]
    assert completed("explain", "lo") == ["lost"]
    assert completed("gen", "group", "x", "--from", "fan") == ["fan-out", "fan"]


def test_runs_and_their_groups_are_completed(project: Path) -> None:
    run = ran(project)
    assert completed("verify", "") == ["last", run]
    assert completed("show", "") == ["shop/cart", "last", run]
    assert completed("show", run, "sh") == ["shop/cart"]
    later = ran(project, "search")
    assert completed("show", "sh") == ["shop/search", "shop/cart"]  # of the latest runs
    assert completed("show", later, "sh") == ["shop/search"]


def test_a_broken_project_completes_nothing(project: Path) -> None:
    (project / "testrium.toml").write_text("x = ")
    assert completed("run", "--less", "") == []
    assert completed("verify", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["completion", shell]) == ExitCode.SUCCESS
    assert f"{VARIABLE}={shell}_complete" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_by_the_script(project: Path) -> None:
    script = """
eval "$(testrium completion bash)"
COMP_WORDS=(testrium run --less shop/s) COMP_CWORD=3
_testrium_completion testrium shop/s --less
echo "${COMPREPLY[@]}"
"""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        cwd=project,
        env=os.environ | {"PATH": path},
    )
    assert done.stdout == "shop/search\n", done.stderr
