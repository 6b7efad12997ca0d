from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from testrium.errors import ExitCode, Problem
from testrium.evidence import TestResult as Outcome
from testrium.report import ci
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict


def parse(result: RunResult, path: Path, cwd: Path) -> ET.Element:
    ci.JunitWriter(str(path), cwd).run_ended(result)
    return ET.parse(path).getroot()


def test_every_result_is_a_case(run_result: RunResult, tmp_path: Path, cwd: Path) -> None:
    root = parse(run_result, tmp_path / "junit.xml", cwd)
    suite = root[0]
    outcomes = {
        case.get("name"): [child.tag for child in case if child.tag != "properties"]
        for case in suite
    }

    assert outcomes == {
        "browser": ["skipped"],
        "checkout": ["failure"],
        "clocks": ["error"],
        "disk": ["error"],
        "hello": [],
        "legacy": ["skipped"],
        "payments/refund": ["failure"],
        "test_greets": [],
        "check says hello": [],
    }
    for element in (root, suite):
        numbers = {name: element.get(name) for name in ("tests", "failures", "errors", "skipped")}
        assert numbers == {"tests": "9", "failures": "2", "errors": "2", "skipped": "2"}


def test_cases_are_named_by_what_they_are_part_of(
    run_result: RunResult, tmp_path: Path, cwd: Path
) -> None:
    root = parse(run_result, tmp_path / "junit.xml", cwd)
    places = {case.get("name"): case.get("classname") for case in root[0]}
    assert places["hello"] == places["checkout"] == "testrium"
    assert places["payments/refund"] == "payments"
    assert places["test_greets"] == places["check says hello"] == "hello"


def test_a_test_that_failed_is_a_case_that_failed(
    run_result: RunResult, hostile: GroupResult, tmp_path: Path, cwd: Path
) -> None:
    tests = (Outcome("test_pays", False, 0.5, "test_pays failed", "Traceback\nAssertionError"),)
    groups = (
        hostile._replace(tests=tests, checks=()),
        hostile._replace(verdict=Verdict.XFAIL, tests=tests, checks=()),
    )
    root = parse(run_result._replace(groups=groups), tmp_path / "junit.xml", cwd)
    _, failed, _, expected = root[0]
    (failure,) = failed
    assert (failure.tag, failure.get("message")) == ("failure", "test_pays failed")
    assert failure.text == "Traceback\nAssertionError"
    assert [child.tag for child in expected] == ["skipped"]


def test_a_failure_tells_the_root_cause(
    run_result: RunResult, lost: GroupResult, tmp_path: Path, cwd: Path
) -> None:
    root = parse(run_result._replace(groups=(lost,)), tmp_path / "junit.xml", cwd)
    failure = root.find(".//failure")

    assert failure is not None
    assert failure.get("type") == "lost"
    assert (failure.get("message") or "").startswith("lost at host:received: k7 and 2 more")
    assert "rerun  testrium run groups/checkout" in (failure.text or "")


def test_any_content_is_valid_xml(
    run_result: RunResult, hostile: GroupResult, tmp_path: Path, cwd: Path
) -> None:
    root = parse(run_result._replace(groups=(hostile,)), tmp_path / "junit.xml", cwd)

    assert r"\x1b[31m\x00<b>&" in (root.find(".//testcase") or root).get("name", "")


def test_a_configuration_error_is_an_error(tmp_path: Path, cwd: Path) -> None:
    problem = Problem("config.toml", 4, "tiemout", "unknown key\x00")
    result = RunResult("", Verdict.ERROR, ExitCode.CONFIG_ERROR, 0.0, errors=(problem,))
    root = parse(result, tmp_path / "junit.xml", cwd)
    error = root.find(".//error")

    assert error is not None
    assert error.text == r"config.toml:4: tiemout: unknown key\x00"
    assert (root.get("tests"), root.get("errors")) == ("1", "1")


def test_what_others_read_it_with_reads_it(
    run_result: RunResult, hostile: GroupResult, tmp_path: Path, cwd: Path
) -> None:
    junitparser = pytest.importorskip("junitparser")
    groups = (*run_result.groups, hostile)
    ci.JunitWriter(str(tmp_path / "junit.xml"), cwd).run_ended(run_result._replace(groups=groups))
    xml = junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    (suite,) = xml
    outcomes = [type(entry).__name__ for case in suite for entry in case.result]

    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == (12, 5, 2, 2)
    assert outcomes == ["Skipped", "Failure", "Error", "Error", "Skipped", *["Failure"] * 4]
    assert suite.time == xml.time == 2.1
