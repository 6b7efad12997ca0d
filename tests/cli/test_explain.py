"""`testrium explain` has a page for every code, plain for pipes and set for terminals."""

from __future__ import annotations

import io
import sys

import pytest
from click.testing import CliRunner

from testrium.cli.main import entry
from testrium.cli.reference import explain_command, pages, summary_of
from testrium.words import Code


def test_without_a_code_all_are_listed_in_the_order_of_their_rank() -> None:
    lines = CliRunner().invoke(explain_command).output.splitlines()
    listed = [line.split()[0] for line in lines[: lines.index("")]]
    assert listed == [code.value for code in Code if code.value in pages()]
    assert f"lost             {summary_of(pages()['lost'])}" in lines


def test_a_page_is_printed_as_it_is_written_where_no_terminal_is() -> None:
    assert CliRunner().invoke(explain_command, ["lost"]).output == pages()["lost"]


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_structure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    stream = _Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    assert entry(["explain", "stale"]) == 0
    shown = stream.getvalue()
    assert "\x1b[" in shown
    assert "```" not in shown
    assert "## " not in shown
    assert "](" not in shown


@pytest.mark.parametrize(
    ("code", "message"),
    [("losst", "did you mean 'lost'?"), ("zzz", "known: infra, crash, ")],
)
def test_an_unknown_code_gets_a_suggestion(
    code: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert entry(["explain", code]) == 3
    told = capsys.readouterr().err
    assert told.startswith(f"testrium: unknown finding {code!r}; ")
    assert message in told


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("verify.linger", ["verify.linger  (config.toml)"]),
        ("linger", ["verify.linger  (config.toml)", "otlp.linger  (config.toml)"]),
        ("unit.stop-to", ["unit.stop_to  (units/*.toml)"]),
        ("stop_to", ["unit.stop_to  (units/*.toml)", "fixture.stop_to  (fixtures/*.toml)"]),
    ],
)
def test_a_key_is_explained_by_its_declaration(name: str, heads: list[str]) -> None:
    told = CliRunner().invoke(explain_command, [name]).output
    assert [line for line in told.splitlines() if line.endswith("toml)")] == heads
