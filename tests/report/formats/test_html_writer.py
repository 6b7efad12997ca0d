"""The HTML page as it is written to a file."""

from __future__ import annotations

from pathlib import Path

from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode, Problem
from testrium.evidence import End, EndCause, UnitState
from testrium.history.past import PageWriter
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict
from tests.report.formats.test_html import Page


def test_it_is_written_as_utf_8(tmp_path: Path) -> None:
    problem = Problem("config.toml", 4, "größe", "unknown key")
    result = RunResult("", Verdict.ERROR, ExitCode.CONFIG_ERROR, 0.0, errors=(problem,))
    PageWriter("out/report.html", tmp_path).run_ended(result)

    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>\n")
    assert "config.toml:4: größe: unknown key" in text


def test_it_leads_to_the_logs_that_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / ".testrium" / "runs" / "r" / "shop #1"
    log = folder / "units" / "store" / "stdout.log"
    log.parent.mkdir(parents=True)
    log.write_text("full\n")
    (tmp_path / "out").mkdir()
    scenario = Scenario("shop", Group("shop", tmp_path / "shop", ()), ())
    end = End("store", EndCause.SELF, UnitState.FINISHED)
    kept = GroupResult(scenario, Verdict.FAIL, run_dir=folder, ends=(end,))
    archived = kept._replace(run_dir=tmp_path / "a.zip" / "r", unpacked=folder)
    for target, group, address in (
        ("out/page.html", kept, "../.testrium/runs/r/shop%20%231/units/store/stdout.log"),
        ("-", kept, log.as_uri()),
        ("out/page.html", archived, None),  # what was unpacked is gone soon
    ):
        result = RunResult("r", Verdict.FAIL, ExitCode.FAILURE, 1.0, (group,))
        page = PageWriter(target, tmp_path).render(result)
        links = [link for link in Page(page).attributes("a") if "log" in (link["href"] or "")]
        assert "full" in page
        assert [link["href"] for link in links] == [x for x in ("#group-1-logs", address) if x]
