from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testrium import core


def test_the_exit_codes_keep_their_values() -> None:
    codes = (core.EXIT_SUCCESS, core.EXIT_FAILURE, core.EXIT_NO_TESTS, core.EXIT_CONFIG_ERROR)
    assert codes == (0, 1, 2, 3)


def test_run_cli_returns_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert core.run_cli(["check"]) == core.EXIT_NO_TESTS
    assert "testrium init" in capsys.readouterr().err


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["testrium", "--no-such-option"])
    with pytest.raises(SystemExit) as stop:
        core.main()
    assert stop.value.code == core.EXIT_CONFIG_ERROR


def test_the_module_is_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "testrium.core", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("testrium ")
