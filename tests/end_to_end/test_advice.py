"""`use-ai`, through the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

FAILS = "def main():\n    raise ValueError('broken')\n"


def test_an_answer_is_attached_and_changes_nothing(workplace: Workplace) -> None:
    explain = workplace.folder / "explain"
    workplace.write(explain, "#!/bin/sh\ngrep -q broken && printf 'all is well: pass\\033[1m'\n")
    explain.chmod(0o755)
    workplace.write(workplace.folder / "testrium.toml", '[ai]\ncommand = ["./explain"]\n')
    units = {"a": 'entrypoint = "test_case:main"'}
    workplace.group(units, FAILS, configs="use-ai = true", name="asked")
    workplace.group(units, FAILS, name="not")
    outcome = workplace.run("--html", "report.html")

    assert outcome.exit_code == 1
    asked, not_asked = outcome.report["groups"]
    assert asked["ai"] == {"answer": "all is well: pass\x1b[1m", "verified": False}
    assert (asked["verdict"], not_asked["verdict"], not_asked["ai"]) == ("fail", "fail", None)
    for text in (outcome.stdout, (workplace.folder / "report.html").read_text()):
        assert r"all is well: pass\x1b[1m" in text
    assert "not verified:" in outcome.stdout
    shown = workplace.finish(workplace.start("show", "", "asked"))
    assert "all is well" in shown.stdout


def test_without_a_command_it_is_refused(workplace: Workplace) -> None:
    workplace.group({"a": 'entrypoint = "test_case:main"'}, FAILS, configs="use-ai = true")
    outcome = workplace.run()

    assert outcome.exit_code == 3
    assert [error["key"] for error in outcome.report["errors"]] == ["use-ai"]
