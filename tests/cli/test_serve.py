"""`testrium serve`: what can be wrong before it serves."""

from __future__ import annotations

import socket

import pytest

from testrium.cli.main import entry
from testrium.errors import ExitCode


def test_a_port_that_is_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert entry(["serve", "--port", str(port)]) == ExitCode.CONFIG_ERROR
    told = capsys.readouterr()
    assert told.err.startswith(f"testrium: cannot listen on port {port}: Address already in use;")
    assert told.err.count("\n") == 1


def test_a_port_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry(["serve", "--port", "70000"]) == ExitCode.CONFIG_ERROR
    assert "Traceback" not in capsys.readouterr().err
