from __future__ import annotations

import json
import re
from pathlib import Path

from testrium.errors import ExitCode, Problem
from testrium.report.ci import TapWriter
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict


def rendered(result: RunResult, cwd: Path) -> list[str]:
    return TapWriter("-", cwd).render(result).splitlines()


def test_every_result_is_a_point(run_result: RunResult, cwd: Path) -> None:
    lines = rendered(run_result, cwd)

    assert lines[:2] == ["TAP version 14", "1..7"]
    assert [line for line in lines if re.match(r"(not )?ok ", line)] == [
        "ok 1 - browser # SKIP chromium is not on PATH",
        "not ok 2 - checkout",
        "not ok 3 - clocks",
        "not ok 4 - disk",
        "ok 5 - hello",
        "not ok 6 - legacy # TODO loses every tenth order",
        "not ok 7 - payments/refund",
    ]


def test_a_failure_is_explained(run_result: RunResult, cwd: Path, lost: GroupResult) -> None:
    lines = rendered(run_result._replace(groups=(lost,)), cwd)
    block = lines[lines.index("  ---") + 1 : lines.index("  ...")]
    fields = dict(line.strip().split(": ", 1) for line in block)

    assert fields["verdict"] == "fail"
    assert json.loads(fields["message"]).startswith("lost at host:received: k7 and 2 more")
    assert "  rerun  testrium run groups/checkout" in json.loads(fields["report"])


def test_no_text_makes_a_line_or_a_directive(
    hostile: GroupResult, run_result: RunResult, cwd: Path
) -> None:
    hostile = hostile._replace(scenario=hostile.scenario._replace(id="a # TODO \n1..9 \\"))
    lines = rendered(run_result._replace(groups=(hostile,)), cwd)

    assert lines[2] == r"not ok 1 - a \# TODO \\n1..9 \\"
    assert all(line.startswith("  ") for line in lines[3:])
    assert "".join(lines).isprintable()


def test_a_configuration_error_is_a_bail_out(cwd: Path) -> None:
    problems = (Problem("config.toml", 4, "tiemout", "unknown key\n"), Problem("b", 1, "x", "y"))
    result = RunResult("", Verdict.ERROR, ExitCode.CONFIG_ERROR, 0.0, errors=problems)

    assert rendered(result, cwd) == [
        "TAP version 14",
        "1..0",
        r"Bail out! config.toml:4: tiemout: unknown key\n (and 1 further problem)",
    ]
