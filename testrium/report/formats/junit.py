"""The JUnit XML report, as CI servers read it: a test case per result, test and check.

There is no standard; this follows what Jenkins and GitLab document: failures are what was found
wrong, errors what could not be judged, and every file is valid XML 1.0 whatever a log line holds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from testrium.report import group_text, wording
from testrium.report.escape import xml_text
from testrium.report.lines import symbols_for
from testrium.report.view import view_group
from testrium.report.writer import Report
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict

_ELEMENTS = {
    Verdict.FAIL: "failure",
    Verdict.UNKNOWN: "error",
    Verdict.ERROR: "error",
    Verdict.SKIP: "skipped",
    Verdict.XFAIL: "skipped",
}


class JunitWriter(Report):
    """Writes the JUnit XML report."""

    def render(self, result: RunResult) -> str:
        """The report of a run as an XML document."""
        return '<?xml version="1.0" encoding="utf-8"?>\n' + _document(result, self.cwd)


def _document(result: RunResult, cwd: Path) -> str:
    suites = ET.Element("testsuites")
    started = datetime.fromtimestamp(result.started_wall, UTC).isoformat(timespec="seconds")
    suite = ET.SubElement(suites, "testsuite")
    for group in result.groups:
        _add_group(suite, group, cwd)
    if result.errors:
        case = ET.SubElement(suite, "testcase", classname="testrium", name="configuration")
        error = ET.SubElement(case, "error", type="config", message="nothing was started")
        error.text = xml_text("\n".join(map(str, result.errors)))
    totals = {"name": "testrium", **_totals(suite, result.duration_s)}
    suites.attrib = totals
    suite.attrib = {**totals, "id": result.run, "timestamp": started}
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=False) + "\n"


def _add_group(suite: ET.Element, result: GroupResult, cwd: Path) -> None:
    """The group as a case of the folder above it; its tests and checks as cases of the group."""
    above, _, _ = result.scenario.id.rpartition("/")
    label = wording.label(result.scenario)
    case = _new_case(suite, above or "testrium", label, result.duration_s)
    _fill_case(case, result, cwd)
    for test in result.tests:
        part = _new_case(suite, label, test.name, test.duration_s)
        if not test.passed:
            _fail(part, result, test.message, test.traceback)
    for check in result.checks:
        part = _new_case(suite, label, f"check {check.name}", check.duration_s)
        if not check.passed:
            _fail(part, result, check.message, "\n".join(check.details))


def _new_case(suite: ET.Element, above: str, name: str, duration_s: float) -> ET.Element:
    return ET.SubElement(
        suite,
        "testcase",
        classname=xml_text(above),
        name=xml_text(name),
        time=f"{duration_s:.3f}",
    )


def _fail(case: ET.Element, group: GroupResult, message: str, details: str) -> None:
    """A part of a group that was expected to fail is no failure either."""
    element = "skipped" if group.verdict is Verdict.XFAIL else "failure"
    ET.SubElement(case, element, message=xml_text(message)).text = xml_text(details)


def _fill_case(case: ET.Element, result: GroupResult, cwd: Path) -> None:
    properties = ET.SubElement(case, "properties")
    for name, value in _properties(result).items():
        ET.SubElement(properties, "property", name=name, value=xml_text(value))
    element = _ELEMENTS.get(result.verdict)
    if element is None:
        return
    outcome = ET.SubElement(case, element, message=xml_text(group_text.message(result)))
    if element != "skipped":
        outcome.set("type", _type(result))
        lines = group_text.group_block(view_group(result, cwd=cwd), symbols_for("utf-8"))
        outcome.text = xml_text("\n".join(line.text for line in lines))


def _totals(suite: ET.Element, duration_s: float) -> dict[str, str]:
    return {
        "tests": str(len(suite)),
        "failures": str(len(suite.findall("testcase/failure"))),
        "errors": str(len(suite.findall("testcase/error"))),
        "skipped": str(len(suite.findall("testcase/skipped"))),
        "time": f"{duration_s:.3f}",
    }


def _properties(result: GroupResult) -> dict[str, str]:
    run_dir = {} if result.run_dir is None else {"run_dir": str(result.run_dir)}
    params = {f"param.{name}": value for name, value in result.scenario.params.items()}
    return {"verdict": str(result.verdict), "mode": result.scenario.mode, **params, **run_dir}


def _type(result: GroupResult) -> str:
    root = next(iter(result.judgement.findings), None)
    return str(result.verdict) if root is None else str(root.code)
