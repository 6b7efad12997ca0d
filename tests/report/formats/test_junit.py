from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from testrium.errors import ExitCode, Problem
from testrium.evidence import TestResult as Outcome
from testrium.report import ci, wording
from testrium.results import FailedTry, GroupResult, RunResult
from testrium.words import Verdict


def parse(result: RunResult, path: Path, cwd: Path) -> ET.Element:
    ci.JunitWriter(str(path), cwd).run_ended(result)
    return ET.parse(path).getroot()


OUTCOMES = ("failure", "error", "skipped")


def outcomes_of(root: ET.Element) -> dict[str | None, list[str]]:
    return {
        case.get("name"): [child.tag for child in case if child.tag in OUTCOMES]
        for case in root.iter("testcase")
    }


def test_every_result_is_a_suite(run_result: RunResult, tmp_path: Path, cwd: Path) -> None:
    root = parse(run_result, tmp_path / "junit.xml", cwd)
    names = [wording.label(group.scenario) for group in run_result.groups]
    assert [suite.get("name") for suite in root] == names
    outcomes = outcomes_of(root)
    assert {name: outcomes[name] for name in names} == {
        "browser": ["skipped"],
        "checkout": ["failure"],
        "clocks": ["error"],
        "disk": ["error"],
        "hello": [],
        "legacy": ["skipped"],
        "payments/refund": ["failure"],
    }
    assert outcomes["test_greets"] == outcomes["check says hello"] == []
    for element in (root, *root):
        cases = list(element.iter("testcase"))
        assert element.get("tests") == str(len(cases))
        failed = sum(case.find("failure") is not None for case in cases)
        assert element.get("failures") == str(failed)


def test_an_aborted_test_is_an_error_at_its_line(
    broken_runner: GroupResult, run_result: RunResult, tmp_path: Path
) -> None:
    aborted = Outcome("test_a", False, 0.1, "no database", aborted=True, file="/x/t.py", line=5)
    result = run_result._replace(groups=(broken_runner._replace(tests=(aborted,)),))
    root = parse(result, tmp_path / "junit.xml", tmp_path)
    for case in root.iter("testcase"):
        assert (case.get("file"), case.get("line")) == ("/x/t.py", "5")
    assert outcomes_of(root)["test_a"] == ["error"]


def test_a_test_shows_its_traceback_its_prints_and_its_files(
    passed: GroupResult, run_result: RunResult, tmp_path: Path
) -> None:
    ours = ci.__file__
    trace = (
        "Traceback (most recent call last):\n"
        '  File "/x/t.py", line 5, in test_a\n    check()\n'
        f'  File "{ours}", line 1, in check\n    raise\n'
        "ValueError: no\n"
    )
    failed = Outcome(
        "test_a", False, 0.1, "no", trace, output="told\n", attachments=("attachments/a.png",)
    )
    group = passed._replace(tests=(failed,), run_dir=tmp_path / "run")
    root = parse(run_result._replace(groups=(group,)), tmp_path / "junit.xml", tmp_path)
    [case] = [case for case in root.iter("testcase") if case.get("name") == "test_a"]
    assert ours not in (case.findtext("failure") or "")
    assert "t.py" in (case.findtext("failure") or "")
    assert case.findtext("system-out") == "told\n[[ATTACHMENT|run/attachments/a.png]]"


def test_every_circuit_is_a_case(lost: GroupResult, run_result: RunResult, tmp_path: Path) -> None:
    root = parse(run_result._replace(groups=(lost,)), tmp_path / "junit.xml", tmp_path)
    name = f"circuit {lost.judgement.circuits[0].name}"
    (case,) = [case for case in root.iter("testcase") if case.get("name") == name]
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("type") == "lost"
    assert "instance" in (case.findtext("system-out") or "")
    assert (case.get("file") or "").endswith("config.toml")


def test_files_of_what_failed_are_attached(
    lost: GroupResult, run_result: RunResult, tmp_path: Path
) -> None:
    unit = lost.ends[0].unit
    log = tmp_path / "units" / unit / "stdout.log"
    log.parent.mkdir(parents=True)
    log.write_text("said")
    groups = (lost._replace(run_dir=tmp_path),)
    root = parse(run_result._replace(groups=groups), tmp_path / "junit.xml", tmp_path)
    assert root.findtext(".//system-out") == f"[[ATTACHMENT|units/{unit}/stdout.log]]"


def test_earlier_tries_are_told(lost: GroupResult, run_result: RunResult, tmp_path: Path) -> None:
    tries = (FailedTry(Verdict.FAIL, finding=lost.judgement.findings[0]),)
    passed = GroupResult(lost.scenario, Verdict.PASS, tries=tries)
    groups = (passed, lost._replace(tries=tries))
    root = parse(run_result._replace(groups=groups), tmp_path / "junit.xml", tmp_path)
    assert [element.get("type") for element in root.iter("flakyFailure")] == ["lost"]
    assert [element.get("type") for element in root.iter("rerunFailure")] == ["lost"]


#: Element -> its attributes and its children, in Jenkins' schema (junit-10.xsd of its xUnit
#: plugin), and `file` and `line` of a case, which only other readers know.
SCHEMA = {
    "testsuites": ("name time tests failures errors", "testsuite"),
    "testsuite": (
        "name tests failures errors time skipped timestamp hostname id",
        "properties testcase system-out system-err",
    ),
    "properties": ("", "property"),
    "property": ("name value", ""),
    "testcase": (
        "name time classname file line",
        "skipped error failure rerunFailure rerunError flakyFailure flakyError system-out",
    ),
    **dict.fromkeys(("failure", "error", "skipped"), ("type message", "")),
    **dict.fromkeys(
        ("rerunFailure", "rerunError", "flakyFailure", "flakyError"),
        ("type message", "stackTrace"),
    ),
    **dict.fromkeys(("system-out", "stackTrace"), ("", "")),
}


def test_the_structure_is_that_of_jenkins(
    run_result: RunResult, hostile: GroupResult, lost: GroupResult, tmp_path: Path, cwd: Path
) -> None:
    tries = (FailedTry(Verdict.UNKNOWN), FailedTry(Verdict.FAIL))
    groups = (*run_result.groups, hostile, lost._replace(tries=tries))
    root = parse(run_result._replace(groups=groups), tmp_path / "junit.xml", cwd)
    for element in root.iter():
        attributes, children = SCHEMA[element.tag]
        assert element.attrib.keys() <= set(attributes.split())
        assert {child.tag for child in element} <= set(children.split())
        if element.tag == "testsuite":
            assert element[0].tag == "properties"
    ci.XunitWriter(str(tmp_path / "xunit.xml"), cwd).run_ended(run_result._replace(groups=groups))
    strict = ET.parse(tmp_path / "xunit.xml").getroot()
    assert [one.tag for one in strict.iter()] == [one.tag for one in root.iter()]
    for case in strict.iter("testcase"):
        assert case.attrib.keys() == {"name", "time", "classname"}


def test_cases_are_named_by_what_they_are_part_of(
    run_result: RunResult, tmp_path: Path, cwd: Path
) -> None:
    scenario = run_result.groups[0].scenario._replace(id="shop/cart[path=a/b]")
    groups = (*run_result.groups, run_result.groups[0]._replace(scenario=scenario))
    root = parse(run_result._replace(groups=groups), tmp_path / "junit.xml", cwd)
    places = {case.get("name"): case.get("classname") for case in root.iter("testcase")}
    assert places["shop/cart[path=a/b]"] == "shop"
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
    failed, expected = [one for one in root.iter("testcase") if one.get("name") == "test_pays"]
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
    cases = [case for suite in xml for case in suite]
    read = [type(entry).__name__ for case in cases for entry in case.result]
    failing = sum(kind == "Failure" for kind in read)

    assert len(cases) == xml.tests
    assert (xml.failures, xml.errors) == (failing, read.count("Error"))
    assert xml.time == 2.1
