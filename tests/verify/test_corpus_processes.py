"""The detection corpus as tables, second part: processes that fail, and what proves nothing.

The corpus itself runs real processes (tests/end_to_end); these tables show that the verifier alone
gets from that evidence to the right root cause.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.verify.conftest import COMMAND, PAIR

# case: (what it leaves behind, verdict, code, place, keys or None where they do not matter)
FAULTS = {
    "F23_exit_one": (
        """
        unit host ready received
        unit client sent
        circuit client:sent host:received
        host ready
        client sent> k1
        end host exit=1""",
        "fail crash host",
    ),
    "F24_late_segfault": (
        f"""{PAIR}{COMMAND}
        client sent> k1
        client finished
        host received< k1
        host finished
        end host signal=SIGSEGV""",
        "fail crash host",
    ),
    "F25_crash_loop": (
        """
        unit host started received in_except=Reload restarts=1
        unit client sent queued
        circuit client:sent host:received
        host started start=1 pid=1
        client sent> k1
        client queued
        host started start=2 pid=2
        end host exit=3 starts=2""",
        "fail crash host",
    ),
    "F26_deadlock": (
        """
        unit host ready received replied
        unit client sent gave-up
        circuit client:sent host:received host:replied
        host ready
        client sent> k1
        host received< k1
        client gave-up
        end host cause=overdue""",
        "fail hang host",
    ),
    "F27_hang_ignoring_sigterm": (
        f"""{PAIR}{COMMAND}
        client sent> k1
        client finished
        host received< k1
        host finished
        end host cause=overdue signal=SIGKILL""",
        "fail hang host",
    ),
    "F28_orphan_grandchild": (
        f"""{PAIR}{COMMAND}
        client sent> k1
        client finished
        host received< k1
        host finished
        end host leaks=77""",
        "fail leak host",
    ),
    "F30_swallowed_exception": (
        f"""{PAIR}{COMMAND}
        client sent> k1
        client finished
        host received< k1
        host ValueError!
        host finished""",
        "fail exception host:ValueError",
    ),
    "F31_thread_traceback": (
        f"""{PAIR}{COMMAND}
        client sent> k1
        client finished
        host received< k1
        host ValueError! meta.uncaught=thread
        host finished""",
        "fail exception host:ValueError",
    ),
    "F32_dependency_not_run": (
        """
        unit db ready stored ready_event=ready stop=runner
        unit api ready received ready_event=ready stop=runner
        unit client sent
        circuit client:sent api:received db:stored
        db starting
        db RuntimeError! meta.uncaught=main
        end db exit=1 ready=false
        end api cause=notrun by=db
        end client cause=notrun by=api""",
        "fail exception db:RuntimeError",
    ),
    "F33_silent_success": (
        f"""{PAIR}{COMMAND}
        unit worker
        client sent> k1
        client finished
        host received< k1
        host finished""",
        "fail silent worker",
    ),
    "F34_never_ready": (
        """
        unit host bound ready_event=ready stop=runner
        unit client sent
        circuit client:sent host:received
        host bound
        end host cause=unready ready=false
        end client cause=notrun by=host""",
        "fail unready host",
    ),
    "F35_premature_ready": (
        """
        unit host ready bound
        unit client sent
        circuit host:bound host:ready client:sent per=run
        host ready
        client sent
        host bound""",
        "fail order host:ready",
    ),
    "F36_vacuous_typo": (
        f"""{PAIR}
        circuit client:snet host:recieved
        client sent> k1
        client finished
        host received< k1
        host finished""",
        "fail vacuous command",
    ),
    "F37_clock_unknown": (
        """
        unit edge ready received ready_event=ready
        unit client sent
        circuit client:sent edge:received within=1000
        edge ready low=0
        client sent> k1
        edge received< k1 @1 domain=edge-7""",
        "unknown clock edge:received k1",
    ),
    "F38_gap": (
        f"""
        unit host ready received finished ready_event=ready
        unit client sent finished
        {COMMAND}
        host ready seq=1
        client sent> k1
        client finished
        host received< k1 seq=2
        host finished seq=4""",
        "unknown gap host",
    ),
    "F39_p99_of_five": (
        f"""{PAIR}{COMMAND} keys=5 p99=5000
        client sent> k0 k1 k2 k3 k4
        host received< k0 k1 k2 k3 k4
        client finished
        host finished""",
        "unknown samples command",
    ),
    "F40_unkeyed": (
        f"""{PAIR}{COMMAND} host:audited?
        client sent> k1
        client finished
        host received< k1
        host audited
        host finished""",
        "fail unkeyed host:audited",
    ),
}
FAULTS["F29_daemon"] = FAULTS["F28_orphan_grandchild"]  # to the verifier, one leak is like another


@pytest.mark.parametrize("case", sorted(FAULTS))
def test_the_root_cause(case: str, root_of: Callable[[str], str]) -> None:
    text, expected = FAULTS[case]
    assert root_of(text) == expected


def test_all_cases_are_here() -> None:
    assert {case[:3] for case in FAULTS} == {f"F{n:02}" for n in range(23, 41)}
