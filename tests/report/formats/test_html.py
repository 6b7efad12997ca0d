from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from testrium.errors import ExitCode, Problem
from testrium.evidence import Use
from testrium.report import html
from testrium.report.json_report import write_report
from testrium.report.stored import read_report
from testrium.results import GroupResult, Measure, MetricResult, RunResult
from testrium.words import Verdict

VOID = {"meta", "br", "input"}


class Page(HTMLParser):
    """A page as a browser takes it apart; complains of what does not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def page(run_result: RunResult, cwd: Path) -> Page:
    return Page(html.render(run_result, cwd=cwd))


def test_the_root_cause_is_told_with_its_evidence(page: Page) -> None:
    assert "k7 and 2 more never reached host:received" in page.text
    assert "97 of 100 keys did arrive" in page.text
    assert "queue full, 3 dropped" in page.text
    assert "ended by SIGSEGV, after 2 starts" in page.text
    assert "testrium run groups/checkout" in page.text
    assert "chromium is not on PATH" in page.text


def test_what_needs_reading_comes_first_and_is_open(page: Page) -> None:
    groups = [
        one for one in page.attributes("details") if (one.get("class") or "").startswith("group")
    ]

    assert ["open" in one for one in groups] == [True, True, True, True, False, False, False]
    assert [(one["data-kinds"] or "").split()[0] for one in groups[:4]].count("pass") == 0


def test_what_passed_is_one_table(page: Page) -> None:
    rows = [one["data-group"] for one in page.attributes("tr") if "data-group" in one]
    assert rows == ["group-5", "group-6", "group-7"]


def test_filters_count_what_there_is(page: Page) -> None:
    kinds = [one["data-kind"] for one in page.attributes("button") if "data-kind" in one]
    assert len(kinds) == len(set(kinds))
    assert {"pass", "fail"} <= set(kinds)


def test_every_link_leads_somewhere(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    links = [link["href"] for link in page.attributes("a")]

    assert len(names) == len(set(names))
    assert len([link for link in links if re.fullmatch(r"#group-\d", link or "")]) == 3
    assert {(name or "")[1:] for name in links} <= set(names)


def test_the_broken_hop_is_drawn(page: Page) -> None:
    hops = [one for one in page.attributes("span") if one.get("class") == "hop broken"]

    assert len(hops) == 1


def test_the_page_stands_alone_and_runs_only_its_script(run_result: RunResult, cwd: Path) -> None:
    text = html.render(run_result, cwd=cwd)
    page = Page(text)
    policy = page.attributes("meta")[1]["content"] or ""
    styles = text.partition("<style>")[2].partition("</style>")[0]
    script = text.partition("<script>")[2].partition("</script>")[0]

    assert policy.startswith(
        f"default-src 'none'; style-src '{digest(styles)}'; script-src '{digest(script)}';"
    )
    assert not {"link", "img", "iframe", "base"} & {tag for tag, _ in page.tags}
    assert [one.get("type") for one in page.attributes("script")].count(None) == 1
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("style", "src") for name in attributes)
        assert tag != "script" or attributes.get("type") in (None, "application/json")
    assert not re.search(r"https?:(?!//www.w3.org/2000/svg)|@import|url\((?!#)", text)


def digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_hostile_text_is_only_text(
    hostile: GroupResult, run_result: RunResult, cwd: Path, hostile_text: str
) -> None:
    text = html.render(run_result._replace(groups=(hostile,), run=hostile_text), cwd=cwd)
    page = Page(text)

    assert not page.attributes("b")
    assert r"a\x1b[31m\x00<b>&" in page.text
    assert all(char.isprintable() or char.isspace() for char in text)
    text.encode("utf-8")


def test_what_units_used_is_in_their_table(
    passed: GroupResult, run_result: RunResult, cwd: Path
) -> None:
    source, target = passed.ends
    used = source._replace(use=Use(cpu_s=1.25, max_rss=52_400_000))
    result = run_result._replace(groups=(passed._replace(ends=(used, target)),))
    page = Page(html.render(result, cwd=cwd))

    assert "1.25 s 52.4 MB" in page.text


def test_what_was_told_with_a_figure_has_a_column_where_there_is_any(
    passed: GroupResult, run_result: RunResult, cwd: Path
) -> None:
    def told(details: dict[str, object]) -> str:
        measure = Measure("throughput", 2.0, "1/s", "reported", details=details)
        metrics = (MetricResult("throughput"),)
        judgement = passed.judgement._replace(measures=(measure,), metrics=metrics)
        result = run_result._replace(groups=(passed._replace(judgement=judgement),))
        return Page(html.render(result, cwd=cwd)).text

    assert "max details throughput" in told({"rows": 9})
    assert "rows=9" in told({"rows": 9})
    assert "max throughput" in told({})


def test_who_was_ready_before_the_group_began(
    passed: GroupResult, run_result: RunResult, cwd: Path
) -> None:
    source, target = passed.ends
    assert passed.started_ns is not None
    early = source._replace(ready_ns=passed.started_ns - 4_000_000)
    result = run_result._replace(groups=(passed._replace(ends=(early, target)),))
    text = Page(html.render(result, cwd=cwd)).text

    assert f"{source.unit} {source.state} before" in text
    assert "-0.00 s" not in text


def test_a_stored_run_makes_the_same_page(run_result: RunResult, cwd: Path, tmp_path: Path) -> None:
    """Also where a time lies between two pixels: a kept report has microseconds."""
    odd_s = 0.1349996
    groups = tuple(
        group._replace(
            duration_s=odd_s,
            ends=tuple(
                end._replace(ended_ns=end.ended_ns + 249_800 + shift)
                for shift, end in enumerate(group.ends)
                if end.ended_ns is not None
            ),
            tests=tuple(test._replace(duration_s=odd_s) for test in group.tests),
        )
        for group in run_result.groups
    )
    result = run_result._replace(groups=groups, duration_s=odd_s)
    write_report(result, tmp_path / "report.json")

    again = read_report(tmp_path / "report.json")
    assert html.render(again, cwd=cwd) == html.render(result, cwd=cwd)


def test_a_configuration_error_is_told(cwd: Path) -> None:
    problem = Problem("config.toml", 4, "tiemout", "unknown key <b>")
    result = RunResult("", Verdict.ERROR, ExitCode.CONFIG_ERROR, 0.0, errors=(problem,))
    page = Page(html.render(result, cwd=cwd))

    assert "config.toml:4: tiemout: unknown key <b>" in page.text


def test_findings_of_one_cause_are_a_list(lost: GroupResult, cwd: Path) -> None:
    (first, *_) = lost.judgement.findings
    cause = f"{first.code} {first.where}"
    others = [first._replace(where=f"host:step{number}", explained_by=cause) for number in range(3)]
    judgement = lost.judgement._replace(findings=(first, *others))
    run = RunResult("r", Verdict.FAIL, ExitCode.FAILURE, 1.0, (lost._replace(judgement=judgement),))
    text = html.render(run, cwd=cwd)
    body = text.partition("<script>")[0].partition("<body>")[2]
    lines = re.search(r"3 more from the same cause</summary>\n<ul class=\"lines\">(.*?)</ul>", body)
    assert lines is not None
    assert lines[1].count("<li>") == 3
    assert " | " not in body


def test_of_very_many_findings_the_first_are_shown(
    lost: GroupResult, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, *_) = lost.judgement.findings
    others = [first._replace(where=f"host:step{number}") for number in range(3)]
    judgement = lost.judgement._replace(findings=(first, *others))
    run = RunResult("r", Verdict.FAIL, ExitCode.FAILURE, 1.0, (lost._replace(judgement=judgement),))
    monkeypatch.setattr(html, "MOST_FINDINGS", 2)
    text = html.render(run, cwd=cwd)
    assert [f"host:step{number}" in text for number in range(3)] == [True, False, False]
    assert "2 findings more are left out here" in text
