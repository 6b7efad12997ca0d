"""Writers of somebody else, in real processes, that do what they like."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode
from testrium.plugins.registry import Plugin
from testrium.report.plugin_writer import PluginWriter
from testrium.report.writer import WriterFailedError
from testrium.results import GroupResult, RunResult
from testrium.words import Verdict

SCENARIO = Scenario("shop", Group("shop", Path("/shop"), ()), ())
GROUP = GroupResult(SCENARIO, Verdict.PASS, duration_s=0.5)
RUN = RunResult("r-1", Verdict.PASS, ExitCode.SUCCESS, 0.1, groups=(GROUP,))

HEAD = """
import json, os, signal, sys, time
from testrium.report.writer import Writer

class Theirs(Writer):
"""


def writer(
    tmp_path: Path, code: str, target: str | None = None, limit_s: float = 60
) -> PluginWriter:
    (tmp_path / "theirs.py").write_text(HEAD + code)
    plugin = Plugin("writers", "theirs", "theirs:Theirs", "testrium.toml", str(tmp_path))
    return PluginWriter(plugin, target, tmp_path, limit_s=limit_s)


def test_it_is_told_everything_in_its_own_process(tmp_path: Path) -> None:
    told = writer(
        tmp_path,
        """
    heard = []
    def __getattribute__(self, name):
        if name in ("heard", "target", "cwd", "__class__"):
            return object.__getattribute__(self, name)
        def hear(*arguments):
            self.heard.append([name, len(arguments)])
            if name == "run_ended":
                with open(self.target, "w") as file:
                    json.dump([os.getpid(), arguments[0].run, self.heard], file)
        return hear
""",
        "told.json",
    )
    told.run_started("r-1", (SCENARIO,))
    told.group_started(SCENARIO, Path("/run"))
    told.unit_changed(SCENARIO, "a", None)  # type: ignore[arg-type]
    told.notice("careful")
    told.group_ended(GROUP)
    told.run_ended(RUN)
    pid, run, heard = json.loads((tmp_path / "told.json").read_text())

    assert pid != os.getpid()
    assert run == "r-1"
    assert heard == [
        ["run_started", 2],
        ["group_started", 2],
        ["unit_changed", 3],
        ["notice", 1],
        ["group_ended", 1],
        ["run_ended", 1],
    ]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "    def run_ended(self, result): 1 / 0",
            r"ZeroDivisionError: division by zero in run_ended \(.*theirs\.py:6\)",
        ),
        ("    def __init__(self, target, cwd): sys.exit('x')", "SystemExit: x in its constructor"),
        (
            "    def run_ended(self, result): os.kill(os.getpid(), signal.SIGKILL)",
            "its process ended with -9",
        ),
        (
            "    def run_ended(self, result): __import__('json').loads('{')",
            r"JSONDecodeError: .* in run_ended \(.*theirs\.py:6\)",
        ),
        ("  def (", r"SyntaxError: [\w ]+ in its constructor \(.*theirs\.py:6\)"),
        ("    import nowhere", r"ModuleNotFoundError: .* in its constructor \(.*theirs\.py:6\)"),
    ],
)
def test_what_it_does_costs_a_sentence(tmp_path: Path, code: str, reason: str) -> None:
    theirs = writer(tmp_path, code)
    with pytest.raises(
        WriterFailedError, match=f"the writer 'theirs' of testrium.toml failed: .*({reason})"
    ):
        theirs.run_ended(RUN)


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    code = "    def run_ended(self, result):\n        while True: time.sleep(60)"
    theirs = writer(tmp_path, code, limit_s=0.5)
    with pytest.raises(WriterFailedError, match=r"not done 0\.5 s after the run had ended"):
        theirs.run_ended(RUN)


def test_one_that_fails_early_is_noticed_early(tmp_path: Path) -> None:
    theirs = writer(tmp_path, "    def group_ended(self, result): 1 / 0")

    def tell_more_than_a_pipe_holds() -> None:
        while True:
            theirs.group_ended(GROUP)

    with pytest.raises(WriterFailedError, match="ZeroDivisionError"):
        tell_more_than_a_pipe_holds()


def test_its_standard_output_is_its_own_only_if_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = "    def run_ended(self, result): print('hello', self.target)"
    writer(tmp_path, code).run_ended(RUN)
    assert capfd.readouterr() == ("", "hello None\n")
    writer(tmp_path, code, "-").run_ended(RUN)
    assert capfd.readouterr() == ("hello -\n", "")
