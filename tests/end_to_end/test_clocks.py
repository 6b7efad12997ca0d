"""Units whose clock is off."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.record.reader import load_evidence
from testrium.run.clocks import LIBRARY, faketime_library, preloads_nothing

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Outcome, Workplace

CODE = """
    import os, sys, time

    def host():
        me = testrium.unit()
        me.probe("one", now=time.time(), args=sys.argv, parent=os.getppid())
        me.wait_for("faults:jump")
        me.probe("two")

    def other():
        testrium.unit().probe("one")
"""
FAULTS = """
    [[faults]]
    unit = "host"
    do = "clock"
    value = "+2h"

    [[faults]]
    unit = "host"
    do = "clock"
    value = "-90m"
    after = "host:one"
    name = "jump"
"""


def clocks(workplace: Workplace, library: str) -> Outcome:
    workplace.env[LIBRARY] = library
    units = {name: f'entrypoint = "test_case:{name}"' for name in ("host", "other")}
    workplace.group(units, CODE, tables=FAULTS)
    return workplace.run()


def hours_off(outcome: Outcome) -> dict[str, float]:
    """By how much the wall time of each event differs from what the other clock says."""
    evidence = load_evidence(Path(outcome.group["run_dir"]) / "Data.db")
    start = evidence.faults[0]
    real_ns = start.wall_ns - start.t_ns
    return {
        f"{event.unit}:{event.step}": round((event.wall_ns - event.t_ns - real_ns) / 3.6e12, 2)
        for event in evidence.events
    }


def test_a_clock_that_is_off_and_jumps(workplace: Workplace) -> None:
    outcome = clocks(workplace, "/no/library")
    assert outcome.codes == ["vacuous clock of host", "vacuous jump"]
    assert hours_off(outcome) == {"host:one": 2.0, "host:two": 0.5, "other:one": 0.0}
    begun = [(mark["name"], mark["meta"]["shift_s"]) for mark in outcome.group["faults"]]
    assert begun == [("clock of host", 7200.0), ("jump", -5400.0)]


def test_a_jump_that_is_over(workplace: Workplace) -> None:
    workplace.env[LIBRARY] = "/no/library"
    code = """
        import os, time

        def host():
            me = testrium.unit()
            me.probe("on")
            file = os.environ["TESTRIUM_CLOCK"]
            while not open(file).read().startswith("+0."):
                time.sleep(0.01)
            me.probe("over")
    """
    workplace.group(
        {"host": 'entrypoint = "test_case:host"'},
        code,
        tables='[[faults]]\nunit = "host"\ndo = "clock"\nvalue = "+1h"\nfor = "200ms"\n',
    )
    outcome = workplace.run()
    assert outcome.codes == ["vacuous clock of host"]
    assert "libfaketime" in outcome.group["findings"][0]["hints"][0]
    assert hours_off(outcome) == {"host:on": 1.0, "host:over": 0.0}
    assert [mark["phase"] for mark in outcome.group["faults"]] == ["begin", "end"]


def test_another_program_needs_the_library(workplace: Workplace) -> None:
    workplace.env[LIBRARY] = "/no/library"
    workplace.group(
        {"host": 'command = ["true"]'},
        tables='[[faults]]\nunit = "host"\ndo = "clock"\nvalue = "+1h"\n',
    )
    outcome = workplace.run()
    assert outcome.codes == ["vacuous clock of host"]
    assert "libfaketime" in outcome.group["findings"][0]["hints"][0]


def test_a_static_program_gets_no_library(tmp_path: Path) -> None:
    """Of two headers, the second names the loader, or another piece of memory."""
    program, script = tmp_path / "program", tmp_path / "script"
    script.write_text(f"#!{program} -x\n")
    for kind, closed in ((3, False), (1, True)):
        head = bytearray(64 + 2 * 56)
        head[:6] = b"\x7fELF\x02\x01"
        struct.pack_into("<Q", head, 32, 64)
        struct.pack_into("<HH", head, 54, 56, 2)
        struct.pack_into("<I", head, 64, 6)
        struct.pack_into("<I", head, 64 + 56, kind)
        program.write_bytes(head)
        program.chmod(0o755)
        assert preloads_nothing(program) is closed
        assert preloads_nothing(script) is closed
    for text in ("echo\n", f"#!{program}\n", "#!\n"):
        program.write_text(text)
        assert not preloads_nothing(program)
    assert not preloads_nothing(tmp_path / "missing")


def test_a_python_unit_gets_an_interpreter_that_the_library_is_in(workplace: Workplace) -> None:
    """Any library will do for that; this one is in every process already."""
    library = re.search(r"/\S+/libc[.-]\S*so\S*", Path("/proc/self/maps").read_text())
    if library is None:
        pytest.skip("the C library is linked statically")
    outcome = clocks(workplace, library[0])
    assert outcome.codes == []
    assert [mark["meta"]["by"] for mark in outcome.group["faults"]] == ["faketime"] * 2
    assert hours_off(outcome)["host:one"] == 0.0  # the library's business now
    evidence = load_evidence(Path(outcome.group["run_dir"]) / "Data.db")
    one = next(event for event in evidence.events if (event.unit, event.step) == ("host", "one"))
    assert one.meta["args"] == ["test_case"]
    assert one.pid == outcome.unit("host")["pid"]


@pytest.mark.skipif(faketime_library() is None, reason="faketime's library is not installed")
def test_another_program_with_the_library(workplace: Workplace) -> None:
    workplace.group(
        {"host": 'command = ["date", "+%Y"]'},
        tables='[[faults]]\nunit = "host"\ndo = "clock"\nvalue = "+36500d"\n',
    )
    outcome = workplace.run()
    assert outcome.codes == []
    log = Path(outcome.group["run_dir"]) / "units" / "host" / "stdout.log"
    assert int(log.read_text()) > 2100
