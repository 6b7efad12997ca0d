"""Keys of units in small groups: encodings, accepted exits, parameters."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace


def test_output_in_another_encoding_is_read_everywhere(workplace: Workplace) -> None:
    code = """
        import sys, time
        from testrium.testing import check_log
        def write(text):
            sys.stdout.buffer.write(text.encode("latin-1"))
            sys.stdout.buffer.flush()
        def plant():
            write("grüß dich\\nrücklauf 7\\n")
            testrium.unit().wait_for("tests:seen")
            write("schlüssel\\n")
            sys.exit(3)
        def test_log():
            check_log("plant", contains="grüß")
            testrium.unit().probe("seen")
    """
    units = {
        "plant": """
            entrypoint = "test_case:plant"
            encoding = "latin-1"
            stop = "runner"
            ready = {log = "^grüß"}
            exit = 5
            [["plant".probes]]
            log = "^rücklauf (?P<n>\\\\d)"
            step = "returned"
            key = "ü${n}"
        """
    }
    check = '[[checks]]\nname = "log"\nlog = "plant"\ncontains = "^schlüssel$"\n'
    workplace.group(units, code, tables=check + '[verify]\norphans = "allow"\nmask = ["dich"]\n')
    outcome = workplace.run("--html", "report.html", "--archive", "run.zip")
    assert outcome.codes == ["crash plant"]
    assert outcome.unit("plant")["last_lines"] == ["grüß ***", "rücklauf 7", "schlüssel"]
    assert "schlüssel" in (workplace.folder / "report.html").read_text(encoding="utf-8")


def test_accepted_exits_are_numbers_words_and_parameters(workplace: Workplace) -> None:
    leave = f'command = ["{sys.executable}", "-c", "raise SystemExit(${{param.code}})"]\n'
    units = {
        "own": leave + 'exit = "${param.code}"',
        "any": leave + 'exit = "any"',
        "bad": leave + 'exit = "!=0"',
        "list": leave + 'exit = [4, "${param.code}"]',
    }
    units = {name: f'{text}\nin-except = "Resume"\n' for name, text in units.items()}
    workplace.group(units, tables="[matrix]\ncode = [0, 3]\n")
    outcome = workplace.run()
    none, three = outcome.report["groups"]
    assert [finding["where"] for finding in none["findings"]] == ["bad"]
    assert three["findings"] == []


def test_parameters_from_code_reach_circuits_checks_and_units(workplace: Workplace) -> None:
    code = """
        import os
        n = int(os.environ["TESTRIUM_PARAM_SIZE"])
        def a():
            print(n, "keys for", os.environ["TESTRIUM_PARAM_BROWSER_NAME"])
            for key in range(n):
                testrium.unit().send("sent", key=str(key))
        def b():
            me = testrium.unit()
            for key in range(n):
                me.wait_for("a:sent", key=str(key))
                me.receive("got", key=str(key))
    """
    tables = """
        [matrix]
        from = "modes:modes"
        [[circuits]]
        name = "c"
        route = ["a:sent", "b:got"]
        keys = "${param.size}"
        within = "${param.browser.within}"
        [[checks]]
        name = "log for ${param.browser.name}"
        log = "a"
        contains = "${param.browser.name}"
        extract = '(?P<n>[0-9]+) keys'
        expect = "n == ${param.size}"
    """
    modes = """
        def modes():
            return [
                {"browser": {"id": "ff", "name": "F.x", "within": "9s"}, "size": 1},
                {"browser": {"id": "ch", "name": "C.m", "within": "1us"}, "size": 2},
            ]
    """
    units = {name: f'entrypoint = "test_case:{name}"' for name in ("a", "b")}
    workplace.group(units, code, tables=tables, modes=modes)
    outcome = workplace.run()
    good, late = outcome.report["groups"]
    assert (good["verdict"], good["params"]) == ("pass", {"browser": "ff", "size": "1"})
    assert [finding["code"] for finding in late["findings"]] == ["late"]
    assert [check["name"] for check in late["checks"]] == ["log for C.m"]
