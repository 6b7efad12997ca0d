"""What build servers read of a run: JUnit XML, the Test Anything Protocol, GitHub's annotations."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from xml.etree import ElementTree as ET

from testrium import phrases
from testrium.declared.groups import Scenario
from testrium.errors import InfraError, Problem
from testrium.evidence import Finding
from testrium.load.document import named_line, shown_path
from testrium.report import group_text, wording
from testrium.report.escape import (
    encodable,
    html_text,
    json_text,
    markdown_text,
    tap_text,
    visible,
    workflow_property,
    workflow_text,
    xml_text,
)
from testrium.report.lines import symbols_for
from testrium.report.masking import mask_of
from testrium.report.writer import STDOUT_FILES, Report, Writer, write_stdout
from testrium.results import CircuitResult, GroupResult, RunResult
from testrium.system.files import regular_text, write_text
from testrium.tracebacks import without_ours
from testrium.words import BAD_VERDICTS, Code, Verdict

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
        return _text(_document(result, self.cwd))


class XunitWriter(JunitWriter):
    """Writes only what Jenkins' schema has: its xUnit plugin refuses files with anything else."""

    def render(self, result: RunResult) -> str:
        """The report of a run as an XML document that is valid by junit-10.xsd."""
        suites = _document(result, self.cwd)
        for case in suites.iter("testcase"):
            for name in ("file", "line"):
                case.attrib.pop(name, None)
        return _text(suites)


def _text(suites: ET.Element) -> str:
    ET.indent(suites)
    text = ET.tostring(suites, encoding="unicode", xml_declaration=False)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _document(result: RunResult, cwd: Path) -> ET.Element:
    """A suite per result: a case for it, and for each of its circuits, checks and tests.

    The elements and their order are those of Jenkins' schema (junit-10.xsd), which knows no
    properties of a case; `file` and `line` of a case are what GitLab and pytest have.
    """
    suites = ET.Element("testsuites")
    for group in result.groups:
        suite = ET.SubElement(suites, "testsuite")
        _fill_suite(suite, group, cwd)
        _count(suite, wording.label(group.scenario), group.duration_s)
        suite.set("id", result.run)
        suite.set("timestamp", _moment(result.started_wall))
        if group.host:
            suite.set("hostname", xml_text(group.host))
    if result.errors:
        suite = ET.SubElement(suites, "testsuite")
        case = _new_case(suite, "testrium", "configuration", 0)
        error = ET.SubElement(case, "error", type="config", message="nothing was started")
        error.text = xml_text("\n".join(map(str, result.errors)))
        _count(suite, "configuration", 0)
    _count(suites, "testrium", result.duration_s)
    del suites.attrib["skipped"]  # only suites have it
    return suites


def _moment(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="seconds")


def _fill_suite(suite: ET.Element, result: GroupResult, cwd: Path) -> None:
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result):
        ET.SubElement(properties, "property", name=name, value=xml_text(value))
    label, folder = wording.label(result.scenario), result.scenario.group.folder
    config = folder / "config.toml"
    case = _new_case(suite, _above(result.scenario), label, result.duration_s)
    root = result.judgement.root
    _point_to(case, *_place_of(result, root), cwd)
    _fill_case(case, result, cwd)
    for circuit in result.judgement.circuits:
        part = _new_case(suite, label, f"circuit {circuit.name}", 0)
        _point_to(part, config, named_line(folder, "circuits", circuit.name), cwd)
        _fill_circuit(part, result, circuit)
    for test in result.tests:
        part = _new_case(suite, label, test.name, test.duration_s)
        if test.file:
            _point_to(part, Path(test.file), test.line, cwd)
        if test.skipped or test.unanswered:
            ET.SubElement(part, "skipped", message=xml_text(test.message))
        elif not test.passed:
            kind = Code.INFRA if test.aborted else Code.TEST
            undecided = test.aborted
            trace = "\n".join(without_ours(test.traceback.split("\n")))
            _fail(part, result, kind, test.message, trace, undecided=undecided)
        files = [result.run_dir / file for file in test.attachments] if result.run_dir else []
        attached = [f"[[ATTACHMENT|{shown_path(file, cwd)}]]" for file in files]
        if text := "\n".join((*filter(None, [test.output.rstrip("\n")]), *attached)):
            ET.SubElement(part, "system-out").text = xml_text(text)
    for check in result.checks:
        part = _new_case(suite, label, f"check {check.name}", check.duration_s)
        _point_to(part, config, named_line(folder, "checks", check.name), cwd)
        if not check.passed:
            _fail(part, result, "check", check.message, "\n".join(check.details))


def _place_of(group: GroupResult, finding: Finding | None) -> tuple[Path, int | None]:
    """The line of the test that failed, else the circuit or the check where it is declared,
    else the unit's file, else the group's."""
    folder = group.scenario.group.folder
    if finding is None:
        return folder / "config.toml", 1
    for test in group.tests if finding.code in (Code.TEST, Code.INSPECT, Code.INFRA) else ():
        is_it = test.aborted if finding.code is Code.INFRA else test.name == finding.where
        if test.file and is_it:
            return Path(test.file), test.line
    if finding.circuit:
        return folder / "config.toml", named_line(folder, "circuits", finding.circuit)
    if finding.code is Code.CHECK:
        return folder / "config.toml", named_line(folder, "checks", finding.where)
    if finding.unit:
        file = folder / "units" / f"{finding.unit}.toml"
        if file.is_file():
            return file, 1
        for test in group.tests:  # the process of the tests has ended, or hangs
            if test.unit == finding.unit and test.file and not test.passed:
                return Path(test.file), test.line
    return folder / "config.toml", 1


def _above(scenario: Scenario) -> str:
    """The folder of a group in its id; values of parameters may hold a `/`, too."""
    return scenario.id.partition("[")[0].rpartition("/")[0] or "testrium"


def _fill_circuit(case: ET.Element, result: GroupResult, circuit: CircuitResult) -> None:
    """The findings and notes of a circuit, and its figures."""
    own = [one for one in result.judgement.findings if one.circuit == circuit.name]
    lines = [f"{one.title}: {one.message}" for one in own]
    if circuit.verdict in BAD_VERDICTS:
        message = lines[0] if lines else f"the circuit is {circuit.verdict}"
        code = str(own[0].code) if own else str(circuit.verdict)
        undecided = circuit.verdict is not Verdict.FAIL
        _fail(case, result, code, message, "\n".join(lines), undecided=undecided)
    figures = {"p50": circuit.p50_ms, "p95": circuit.p95_ms, "max": circuit.max_ms}
    known = [f"{name} {value:g} ms" for name, value in figures.items() if value is not None]
    text = ", ".join((phrases.plural(circuit.instances, "instance"), *known))
    ET.SubElement(case, "system-out").text = xml_text(text)


def _new_case(suite: ET.Element, above: str, name: str, duration_s: float) -> ET.Element:
    return ET.SubElement(
        suite,
        "testcase",
        classname=xml_text(above),
        name=xml_text(name),
        time=f"{duration_s:.3f}",
    )


def _point_to(case: ET.Element, file: Path, line: int | None, cwd: Path) -> None:
    """Name the place as pytest does; what reads such files opens it."""
    case.set("file", xml_text(shown_path(file, cwd)))
    if line is not None:
        case.set("line", str(line))


def _fail(
    case: ET.Element,
    group: GroupResult,
    kind: str,
    message: str,
    details: str,
    *,
    undecided: bool = False,
) -> None:
    """Add a failure; a part of a group that was expected to fail is skipped instead."""
    element = "error" if undecided else "failure"
    if group.verdict is Verdict.XFAIL:
        element = "skipped"
    told = ET.SubElement(case, element, type=xml_text(kind), message=xml_text(message))
    told.text = xml_text(details)


def _fill_case(case: ET.Element, result: GroupResult, cwd: Path) -> None:
    """The result of the group, its earlier tries, and the files to look at."""
    element = _ELEMENTS.get(result.verdict)
    if element is not None:
        outcome = ET.SubElement(case, element, message=xml_text(group_text.message(result)))
        if element != "skipped":
            outcome.set("type", _type(result))
            outcome.text = xml_text("\n".join(group_text.block_text(result, cwd=cwd)))
    for one in result.tries:
        root = one.finding
        message = f"{root.title}: {root.message}" if root else str(one.verdict)
        again = "flaky" if result.verdict is Verdict.PASS else "rerun"
        kind = "Failure" if one.verdict is Verdict.FAIL else "Error"
        code = str(root.code if root else one.verdict)
        told = ET.SubElement(case, again + kind, type=code, message=xml_text(message))
        ET.SubElement(told, "stackTrace").text = xml_text(message)
    if files := _attachments(result, cwd):
        text = "\n".join(f"[[ATTACHMENT|{file}]]" for file in files)
        ET.SubElement(case, "system-out").text = xml_text(text)


def _attachments(result: GroupResult, cwd: Path) -> list[str]:
    """The files of a group that did not pass: its summary, and what its units have printed."""
    folder = result.run_dir
    if folder is None or result.verdict not in BAD_VERDICTS:
        return []
    logs = [folder / "units" / end.unit / f"{name}.log" for end in result.ends for name in _STREAMS]
    found = [file for file in (folder / "summary.txt", *logs) if _has_text(file)]
    return [shown_path(file, cwd) for file in found]


_STREAMS = ("stdout", "stderr")


def _has_text(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except (OSError, ValueError):  # a name that comes from elsewhere may hold anything
        return False


def _count(element: ET.Element, name: str, duration_s: float) -> None:
    """Set the attributes of a suite, or of all suites."""
    cases = list(element.iter("testcase"))
    element.set("name", xml_text(name))
    element.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    element.set("time", f"{duration_s:.3f}")


def _properties(result: GroupResult) -> Iterator[tuple[str, str]]:
    group = result.scenario.group
    yield "verdict", str(result.verdict)
    yield "mode", result.scenario.mode
    for name, value in result.scenario.params.items():
        yield f"param.{name}", value
    if group.title:
        yield "title", group.title
    for tag in group.tags:
        yield "tag", tag
    for requirement in group.requirements:
        yield "requirement", requirement
    if result.run_dir is not None:
        yield "run_dir", str(result.run_dir)


def _type(result: GroupResult) -> str:
    root = result.judgement.root
    return str(result.verdict if root is None else root.code)


class TeamcityWriter(Writer):
    """Writes TeamCity's service messages: a suite per result, a test for it and for its parts.

    Source: https://www.jetbrains.com/help/teamcity/service-messages.html
    """

    def group_ended(self, result: GroupResult) -> None:
        """A group is judged: its messages go to standard output, or to the target."""
        text = "".join(f"{one}\n" for one in self.messages(result))
        if self.target in (None, *STDOUT_FILES):
            write_stdout(text)
            return
        assert self.target is not None
        try:
            with (self.cwd / self.target).open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise InfraError(f"cannot write {self.target}: {error.strerror}") from error

    def messages(self, result: GroupResult) -> Iterator[str]:
        """The messages about one group."""
        suite = ET.Element("testsuite")
        _fill_suite(suite, result, self.cwd)
        name = wording.label(result.scenario)
        yield _message("testSuiteStarted", name=name)
        for case in suite.iter("testcase"):
            own = case.get("name") or ""
            yield _message("testStarted", name=own)
            for child in case:
                told = {"name": own, "message": child.get("message") or ""}
                if child.tag == "skipped":
                    yield _message("testIgnored", **told)
                elif child.tag in ("failure", "error"):
                    yield _message("testFailed", **told, details=child.text or "")
            milliseconds = round(float(case.get("time") or 0) * 1000)
            yield _message("testFinished", name=own, duration=str(milliseconds))
        yield _message("testSuiteFinished", name=name)


def _message(kind: str, **attributes: str) -> str:
    written = "".join(f" {name}='{_teamcity_text(text)}'" for name, text in attributes.items())
    return f"##teamcity[{kind}{written}]"


def _teamcity_text(text: str) -> str:
    lines = "\n".join(visible(line) for line in text.split("\n"))
    for char, escaped in {"|": "||", "'": "|'", "[": "|[", "]": "|]", "\n": "|n"}.items():
        lines = lines.replace(char, escaped)
    return lines


_ALLURE = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.UNKNOWN: "broken",
    Verdict.ERROR: "broken",
    Verdict.SKIP: "skipped",
    Verdict.XFAIL: "skipped",
}


class AllureWriter(Writer):
    """Writes results of Allure into a folder: a step per circuit and hop, logs attached.

    It needs nothing of Allure, whose reports are made from these files.
    Source: https://allurereport.org/docs/how-it-works-test-result-file/
    """

    needs_target = True

    def group_ended(self, result: GroupResult) -> None:
        """A group is judged. Raises InfraError where the folder cannot be written."""
        folder = self.cwd / (self.target or "")
        name = str(uuid.uuid4())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            document = self._result(result, name, folder)
            write_text(folder / f"{name}-result.json", json_text(document))
        except OSError as error:
            raise InfraError(f"cannot write {folder}: {error.strerror}") from error

    def _result(self, result: GroupResult, name: str, folder: Path) -> dict[str, Any]:
        scenario = result.scenario
        label = wording.label(scenario)
        now_ms = round(time.time() * 1000)
        lines = group_text.block_text(result, cwd=self.cwd)
        bad = result.verdict in BAD_VERDICTS
        labels = [("suite", _above(scenario)), ("framework", "testrium")]
        labels += [("tag", tag) for tag in scenario.group.tags]
        return {
            "uuid": name,
            "historyId": hashlib.sha256(label.encode("utf-8", "replace")).hexdigest(),
            "fullName": label,
            "name": scenario.group.title or label,
            "status": _ALLURE[result.verdict],
            "statusDetails": {
                "message": group_text.message(result),
                "trace": "\n".join(lines) if bad else "",
                "flaky": any(note.code is Code.FLAKY for note in result.judgement.notes),
            },
            "stage": "finished",
            "start": now_ms - round(result.duration_s * 1000),
            "stop": now_ms,
            "labels": [{"name": kind, "value": value} for kind, value in labels],
            "parameters": [{"name": "mode", "value": scenario.mode}]
            + [{"name": key, "value": value} for key, value in scenario.params.items()],
            "steps": [self._circuit(result, one) for one in result.judgement.circuits],
            "attachments": list(self._attached(result, name, folder)),
        }

    @staticmethod
    def _circuit(result: GroupResult, circuit: CircuitResult) -> dict[str, Any]:
        """A circuit as a step, and below it a step for each hop of its route."""
        declared = {one.name: one for one in result.scenario.group.circuits}.get(circuit.name)
        own = [one for one in result.judgement.findings if one.circuit == circuit.name]
        hops = []
        for hop in declared.hops if declared else ():
            wrong = [one.message for one in own if one.where == hop.text]
            status = "failed" if wrong else "passed"
            details = {"message": "\n".join(wrong)}
            hops.append({"name": hop.written, "status": status, "statusDetails": details})
        return {
            "name": f"circuit {circuit.name} ({phrases.plural(circuit.instances, 'instance')})",
            "status": _ALLURE[circuit.verdict],
            "statusDetails": {"message": "\n".join(one.message for one in own)},
            "steps": hops,
        }

    @staticmethod
    def _attached(result: GroupResult, name: str, folder: Path) -> Iterator[dict[str, str]]:
        """What the units have printed, hidden as `mask` says."""
        if result.run_dir is None:
            return
        mask = mask_of(result.scenario)
        for number, end in enumerate(result.ends):
            for stream in _STREAMS:
                log = result.run_dir / "units" / end.unit / f"{stream}.log"
                if not _has_text(log):
                    continue
                target = f"{name}-{number}-{stream}-attachment.txt"
                text = regular_text(log, errors="backslashreplace")
                write_text(folder / target, mask.text(text))
                yield {"name": f"{end.unit} {stream}", "source": target, "type": "text/plain"}


class TapWriter(Report):
    """What is skipped is `# SKIP`, an expected failure is `# TODO`; the rest of what did not pass
    is `not ok` and explained in a YAML block."""

    def render(self, result: RunResult) -> str:
        """The report of a run."""
        lines = ["TAP version 14", f"1..{len(result.groups)}"]
        for number, group in enumerate(result.groups, 1):
            lines += self._point(number, group)
        if result.errors:
            first, *more = result.errors
            also = f" (and {phrases.plural(len(more), 'further problem')})" if more else ""
            lines.append(f"Bail out! {visible(str(first))}{also}")
        return "\n".join(lines) + "\n"

    def _point(self, number: int, group: GroupResult) -> Iterator[str]:
        failed = group.verdict not in (Verdict.PASS, Verdict.SKIP)
        text = (
            f"{'not ok' if failed else 'ok'} {number} - {tap_text(wording.label(group.scenario))}"
        )
        directive = {Verdict.SKIP: "SKIP", Verdict.XFAIL: "TODO"}.get(group.verdict)
        if directive:
            text += f" # {directive} {tap_text(wording.reason(group))}".rstrip()
        yield text
        if not failed:
            return
        yield "  ---"
        yield f"  verdict: {group.verdict}"
        yield f"  duration_s: {group.duration_s:.3f}"
        # JSON in ASCII is YAML too.
        yield f"  message: {json_text(group_text.message(group))}"
        yield f"  report: {json_text(group_text.block_text(group, cwd=self.cwd))}"
        yield "  ..."


#: How many annotations of each level GitHub shows; it drops the rest.
MOST_ANNOTATIONS = 10

#: GitHub refuses a summary over 1 MiB as a whole.
MOST_SUMMARY_BYTES = 1_000_000

#: Groups beyond these have only a row in the table.
_MOST_EXPLAINED = 50

_LEVELS = {Verdict.FAIL: "error", Verdict.ERROR: "error", Verdict.UNKNOWN: "warning"}


class GithubWriter(Writer):
    """Annotates what failed and adds to the job's summary. It never fails a run.

    Args:
        stream: where workflow commands are read.
        cwd: the folder that files of problems are relative to.
    """

    def __init__(self, stream: TextIO, cwd: Path, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__(None, cwd)
        self._stream = stream
        self._root = Path(environ.get("GITHUB_WORKSPACE") or cwd)
        self._summary = environ.get("GITHUB_STEP_SUMMARY")

    def run_ended(self, result: RunResult) -> None:
        """Write the annotations, then the summary."""
        text = "".join(f"{command}\n" for command in self._commands(result))
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(encodable(text, self._stream.encoding or "utf-8"))
            self._stream.flush()
        if self._summary:
            with contextlib.suppress(OSError), Path(self._summary).open("ab") as summary:
                summary.write(self.summary(result).encode())

    def summary(self, result: RunResult) -> str:
        """The summary as Markdown."""
        text = "\n".join(self._summary_lines(result)) + "\n"
        if len(text.encode()) > MOST_SUMMARY_BYTES:
            text = "\n".join(self._summary_lines(result, most=0)) + "\n"
        if len(text.encode()) > MOST_SUMMARY_BYTES:
            text = f"## {_title(result)}\n"
        return text

    # Annotations ----------------------------------------------------------------------------

    def _commands(self, result: RunResult) -> Iterator[str]:
        left = dict.fromkeys(_LEVELS.values(), MOST_ANNOTATIONS)
        for problem in result.errors[:MOST_ANNOTATIONS]:
            yield self._of_problem(problem)
        for group in result.groups:
            level = _LEVELS.get(group.verdict)
            if level is not None and left[level] > 0:
                left[level] -= 1
                yield self._of_group(level, group)
        for group in result.groups:  # what has failed besides, where GitHub shows more
            for finding in group.judgement.findings[1:]:
                level = _LEVELS.get(group.verdict)
                alone = finding.code in (Code.TEST, Code.CHECK) and finding.explained_by is None
                if alone and level is not None and left[level] > 0:
                    left[level] -= 1
                    yield self._of_finding(level, group, finding, finding.title)

    def _of_problem(self, problem: Problem) -> str:
        told = ": ".join(part for part in (problem.key, problem.message) if part)
        file = self.cwd / problem.file if problem.file else None
        return self._command("error", "testrium", told, file, problem.line)

    def _of_group(self, level: str, group: GroupResult) -> str:
        return self._of_finding(level, group, group.judgement.root, wording.outcome(group))

    def _of_finding(
        self, level: str, group: GroupResult, finding: Finding | None, outcome: str
    ) -> str:
        file, line = _place_of(group, finding)
        title = f"{wording.label(group.scenario)}: {outcome}"
        message = group.reason if finding is None else "\n".join((finding.message, *finding.hints))
        return self._command(level, title, message, file, line)

    def _command(
        self, level: str, title: str, message: str, file: Path | None, line: int | None
    ) -> str:
        properties = {"title": title}
        if file is not None:
            # GitHub finds a file by its path below the root of the repository.
            properties = {
                "file": shown_path(file, self._root),
                "line": str(line or 1),
                **properties,
            }
        told = ",".join(f"{name}={workflow_property(text)}" for name, text in properties.items())
        return f"::{level} {told}::{workflow_text(message)}"

    # Summary --------------------------------------------------------------------------------

    def _summary_lines(self, result: RunResult, most: int = _MOST_EXPLAINED) -> Iterator[str]:
        yield f"## {_title(result)}"
        yield ""
        for problem in result.errors:
            yield f"- {markdown_text(str(problem))}"
        if not result.groups:
            return
        yield "| | group | time | |"
        yield "|---|---|--:|---|"
        symbols = symbols_for("utf-8")
        for group in result.groups:
            time = "" if group.verdict is Verdict.SKIP else phrases.duration(group.duration_s)
            cells = (wording.label(group.scenario), time, wording.outcome(group))
            shown = " | ".join(map(markdown_text, cells))
            yield f"| {symbols.verdicts[group.verdict]} {group.verdict} | {shown} |"
        explained = [group for group in result.groups if group.verdict in BAD_VERDICTS]
        for group in explained[:most]:
            yield ""
            yield f"<details><summary>{html_text(wording.label(group.scenario))}</summary>"
            yield ""
            # Indented by four is code, whatever the text holds.
            yield from (f"    {text}" for text in group_text.block_text(group, cwd=self.cwd))
            yield ""
            yield "</details>"
        if len(explained) > most:
            yield ""
            yield f"{len(explained) - most} more did not pass."


def _title(result: RunResult) -> str:
    if result.errors:
        return "Testrium: nothing was started"
    return f"Testrium: {markdown_text(wording.totals(result.groups, result.duration_s))}"
