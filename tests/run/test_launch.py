"""When there is somebody to ask."""

from __future__ import annotations

import os

import pytest

from testrium.run.launch import terminal_variables
from testrium.suites import protocol


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input and output are a terminal."""
    monkeypatch.setattr(os, "isatty", lambda _: True)
    monkeypatch.setattr(os, "ttyname", lambda _: "/dev/pts/7")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("environ", [{}, {"CI": ""}, {"CI": "false"}, {"CI": "0"}])
def test_at_a_terminal(environ: dict[str, str]) -> None:
    assert terminal_variables(environ) == {protocol.TERMINAL: "/dev/pts/7"}


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("name", ["CI", "TF_BUILD", "JENKINS_URL"])
def test_never_in_ci(name: str) -> None:
    assert terminal_variables({name: "true"}) == {
        protocol.UNASKED: f"no person watches this run ({name} is set)"
    }


def test_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: fd == 0)
    assert terminal_variables({}) == {protocol.UNASKED: "the run has no terminal"}
