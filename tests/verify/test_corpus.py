"""The detection corpus as tables: what each of its groups leaves behind, and the judgement.

The corpus itself runs real processes (tests/end_to_end); these tables show that the verifier alone
gets from that evidence to the right root cause.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from testrium.model import Judgement

#: Two units, as in most cases: the client depends on the host.
PAIR = """
unit host ready received finished ready_event=ready
unit client sent finished
host ready
"""
SHORT_PAIR = """
unit host received finished
unit client sent queued
"""
COMMAND = "circuit client:sent host:received"

# case: (what it leaves behind, verdict, code, place, keys or None where they do not matter)
FAULTS = {
    "F01_lost_message": (
        f"""{PAIR}{COMMAND}
        client sent> k1 k2 k3
        client finished
        host received< k1 k3
        host finished""",
        "fail lost host:received k2",
    ),
    "F02_lost_3_of_100": (
        f"""{PAIR}{COMMAND} keys=100
        client sent> {" ".join(f"k{i}" for i in range(100))}
        client finished
        host received< {" ".join(f"k{i}" for i in range(100) if i not in (7, 50, 99))}
        host finished""",
        "fail lost host:received k7,k50,k99",
    ),
    "F03_partial_fan_out": (
        """
        unit a ready got finished
        unit b ready got finished
        unit c ready finished
        unit api published finished
        circuit api:published a:got&b:got&c:got
        a ready
        b ready
        c ready
        api published> k1
        api finished
        a got< k1
        b got< k1
        a finished
        b finished
        c finished""",
        "fail lost c:got k1",
    ),
    "F04_skipped_hop": (
        """
        unit auth ready finished
        unit host ready received finished
        unit client sent finished
        circuit client:sent auth:checked host:received
        auth ready
        host ready
        client sent> k1
        client finished
        host received< k1
        auth finished
        host finished""",
        "fail lost auth:checked k1",
    ),
    "F05_orphan_send_no_circuit": (
        f"""{PAIR}
        client sent> k1 k2
        client finished
        host received< k1
        host finished""",
        "fail lost client:sent k2",
    ),
    "F06_phantom_receive": (
        f"""{PAIR}{COMMAND}
        client sent> k1
        client finished
        host received< k1 k9
        host finished""",
        "fail phantom host:received k9",
    ),
    "F07_double_activation": (
        f"""{SHORT_PAIR}
        circuit client:sent host:received+ host:activated
        client sent> k1
        client queued
        host received< k1
        host activated k1
        host received< k1
        host activated k1
        host finished""",
        "fail duplicate host:activated k1",
    ),
    "F08_retry_storm": (
        f"""{PAIR}
        circuit client:sent{{1,3}} host:received+
        client sent> {" k1" * 12}
        client finished
        host received< {" k1" * 12}
        host finished""",
        "fail duplicate client:sent k1",
    ),
    "F09_late_duplicate": (
        """
        unit host ready received stop=runner
        unit client sent done
        circuit client:sent host:received client:done
        host ready
        client sent> k1
        host received< k1
        client done k1
        host received< k1 @300""",
        "fail duplicate host:received k1",
    ),
    "F10_wrong_recipient": (
        """
        unit host ready received finished
        unit audit ready received finished
        unit client sent finished
        circuit client:sent host:received
        host ready
        audit ready
        client sent> k1
        client finished
        audit received< k1
        audit finished
        host finished""",
        "fail misrouted audit:received k1",
    ),
    "F11_leaked_copy": (
        """
        unit host ready received finished
        unit audit ready received finished
        unit client sent finished
        circuit client:sent host:received
        host ready
        audit ready
        client sent> k1
        host received< k1
        audit received< k1
        client finished
        audit finished
        host finished""",
        "fail misrouted audit:received k1",
    ),
    "F12_reordering": (
        f"""{SHORT_PAIR}{COMMAND} fifo=true
        client sent> k1 k2 k3
        client queued
        host received< k3 k2 k1
        host finished""",
        "fail reorder host:received k3,k2",
    ),
    "F13_outlier_of_100": (
        f"""{PAIR}{COMMAND} keys=100 within=350
        {
            "".join(
                f'''
        client sent> k{i} @{i * 1000}
        host received< k{i} @{i * 1000 + (700 if i == 42 else 2)}'''
                for i in range(100)
            )
        }
        client finished
        host finished""",
        "fail late host:received k42",
    ),
    "F14_injected_delay": (
        """
        unit host ready received finished
        unit client sent done
        circuit client:sent host:received client:done within=300
        host ready
        client sent> k1 @10
        host received< k1 @11
        client done k1 @712
        host finished""",
        "fail late client:done k1",
    ),
    "F15_p95_over_budget": (
        f"""{PAIR}{COMMAND} keys=40 within=5000 p95=100
        {
            "".join(
                f'''
        client sent> k{i} @{i * 1000}
        host received< k{i} @{i * 1000 + (2 if i % 10 else 200)}'''
                for i in range(40)
            )
        }
        client finished
        host finished""",
        "fail budget command k0,k10,k20,k30",
    ),
    "F16_fan_in_too_early": (
        """
        unit api ready joined
        unit a part
        unit b part
        unit c part
        circuit a:part&b:part&c:part api:joined
        api ready
        a part k1
        b part k1
        api joined k1
        c part k1""",
        "fail order api:joined k1",
    ),
    "F17_effect_before_cause": (
        """
        unit host received
        unit client sent
        circuit client:sent host:received
        host received< k1
        client sent> k1""",
        "fail causality host:received k1",
    ),
    "F18_stale_key": (
        f"""{SHORT_PAIR}{COMMAND}
        earlier r1-k1
        client sent> r2-k1
        client queued
        host received< r1-k1 r2-k1
        host finished""",
        "fail stale host:received r1-k1",
    ),
    "F19_key_collision": (
        """
        unit host ready received finished
        unit c1 sent
        unit c2 sent
        circuit c1:sent|c2:sent host:received+
        host ready
        c1 sent> request-1
        c2 sent> request-1
        host received< request-1 request-1
        host finished""",
        "fail collision c1:sent|c2:sent request-1",
    ),
    "F20_payload_altered": (
        f"""{PAIR}{COMMAND} same=sha256
        client sent> k1 meta.sha256=ab
        client finished
        host received< k1 meta.sha256=cd
        host finished""",
        "fail mismatch host:received k1",
    ),
    "F21_forbidden_event": (
        f"""{PAIR}{COMMAND} never=host:rollback
        client sent> k1
        host received< k1
        host rollback
        host finished
        client finished""",
        "fail forbidden host:rollback",
    ),
    "F22_missing_probe": (
        """
        unit host ready received audited finished
        unit client sent finished
        circuit client:sent host:received
        host ready
        client sent> k1
        host received< k1
        host finished
        client finished""",
        "fail missing host:audited",
    ),
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

ROUND_TRIP = """
unit host ready received replied
unit client sent done
circuit client:sent host:received host:replied client:done keys=1 within=2000
host ready
client sent> k1
host received< k1
host replied k1
client done k1
"""
HEALTHY = {
    "H01_round_trip": ROUND_TRIP,
    "H01_round_trip, in a second run": f"{ROUND_TRIP}\nearlier k1",
    "H02_broadcast": """
        unit a ready got finished
        unit b ready got finished
        unit c ready got finished
        unit api published finished
        circuit api:published a:got&b:got&c:got keys=1
        a ready
        b ready
        c ready
        api published> k1
        c got< k1
        a got< k1
        b got< k1
        api finished
        a finished
        b finished
        c finished""",
    "H03_four_hops": """
        unit c ready got
        unit b ready got forwarded
        unit a sent
        circuit a:sent b:got b:forwarded c:got
        c ready
        b ready
        a sent> k1
        b got< k1
        b forwarded> k1
        c got< k1""",
    "H04_retry_lands": """
        unit host ready received
        unit client sent done
        circuit client:sent{1,3} host:received{1,3} client:done
        host ready
        client sent> k1 k1
        host received< k1
        client done k1""",
    "H05_redelivery_one_activation": f"""{SHORT_PAIR}
        circuit client:sent host:received+ host:activated
        client sent> k1
        client queued
        host received< k1
        host activated k1
        host received< k1
        host finished""",
    "H06_slow_within_budget": f"""{PAIR}{COMMAND} within=5000
        client sent> k0 k1 @1000
        host received< k0 k1 @1601
        client finished
        host finished""",
    "H07_fan_in_any_order": """
        unit api ready joined
        unit a part
        unit b part
        unit c part
        circuit a:part&b:part&c:part api:joined
        api ready
        c part k1
        b part k1
        a part k1
        api joined k1""",
    "H08_interleaved_keys": f"""{SHORT_PAIR}{COMMAND} keys=3
        client sent> k1 k2 k3
        client queued
        host received< k3 k2 k1
        host finished""",
    "H09_optional_hop_skipped": f"""{PAIR}
        unit db ready finished
        circuit client:sent db:queried? host:received
        db ready
        client sent> k1
        client finished
        host received< k1
        host finished
        db finished""",
    "H10_either_outcome": """
        unit host ready accepted rejected
        unit client sent
        circuit client:sent host:accepted|host:rejected keys=2
        host ready
        client sent> k1 k2
        host accepted< k1
        host rejected< k2""",
    "H11_expected_exception": f"""{PAIR}{COMMAND}
        rule allow=host:TimeoutError
        client sent> k1
        client finished
        host received< k1
        host TimeoutError!
        host finished""",
    "H12_services_are_stopped": """
        unit polite ready received stop=runner
        unit stubborn ready received stop=runner
        unit client sent
        circuit client:sent polite:received|stubborn:received keys=2
        polite ready
        stubborn ready
        client sent> k1 k2
        polite received< k1
        stubborn received< k2
        end stubborn cause=stopped signal=SIGKILL""",
    "H13_restart_recovers": """
        unit host received activated in_except=Reload restarts=1
        unit client sent queued
        circuit client:sent host:received{1,2} host:activated
        client sent> k1
        client queued
        host received< k1 start=1 pid=1
        host received< k1 start=2 pid=2
        host activated k1 start=2 pid=2
        end host starts=2""",
    "H14_noisy_but_fine": f"""{PAIR}{COMMAND}
        client sent> k1
        client finished
        host received< k1
        host heartbeat
        host heartbeat
        host finished""",
    "H15_fire_and_forget": f"""{PAIR}{COMMAND} keys=1
        client sent> k1
        client metric> m1
        client finished
        host received< k1
        host finished""",
    "H16_webhook": """
        unit host ready webhook handled
        unit internet up
        circuit host:webhook host:handled
        host ready
        internet up
        host webhook< w1
        host handled w1""",
    "H17_zero_instances": """
        unit host ready finished
        unit client finished
        circuit client:sent host:received keys=0..5
        host ready
        client finished
        host finished""",
    "H18_coarse_clock": """
        unit host ready received replied
        unit client sent done
        circuit client:sent host:received host:replied client:done keys=3 fifo=true
        host ready low=0
        client sent> k1 @100
        host received< k1 @100
        host replied> k1 @100
        client done< k1 @100
        client sent> k2 @100
        host received< k2 @100
        host replied> k2 @100
        client done< k2 @100
        client sent> k3 @100
        host received< k3 @200
        host replied> k3 @200
        client done< k3 @200""",
    "H19_reply_under_its_own_key": """
        unit host ready received replied
        unit client sent done
        circuit client:sent host:received host:replied client:done keys=1
        host ready
        client sent> question-1
        host received< question-1
        host replied> answer-1 cause=question-1
        client done< answer-1""",
    "H20_batch": """
        unit api ready joined
        unit a part
        circuit a:part+ api:joined keys=1
        api ready low=0
        a part> p1 p2 p3
        api joined< batch-1 cause=p1,p2,p3""",
    "H21_hundred_keys_p99": f"""{PAIR}{COMMAND} keys=100 within=10000 p50=300 p95=500 p99=500
        {
        "".join(
            f'''
        client sent> k{i} @{i * 1000}
        host received< k{i} @{i * 1000 + (800 if i == 42 else 2)}'''
            for i in range(100)
        )
    }
        client finished
        host finished""",
    "H22_commands": """
        unit server quiet=true stop=runner
        unit client sent answered ready_event=answered
        unit worker stored exit=3 quiet=true
        circuit client:sent client:answered worker:stored
        client sent> k1
        client answered k1
        worker stored k1 @90 low=3
        end worker exit=3""",
}


@pytest.mark.parametrize("case", sorted(FAULTS))
def test_the_root_cause_of_a_fault(case: str, judged: Callable[[str], Judgement]) -> None:
    text, expected = FAULTS[case]
    judgement = judged(text)
    first = judgement.findings[0]
    got = f"{judgement.verdict} {first.code} {first.where} {','.join(first.keys)}".strip()
    assert got == expected
    assert first.explained_by is None
    assert all(f.explained_by for f in judgement.findings[1:]), "one fault, one root"


@pytest.mark.parametrize("case", sorted(HEALTHY))
def test_a_healthy_run_has_no_finding(case: str, findings_of: Callable[[str], str]) -> None:
    assert findings_of(HEALTHY[case]) == "pass"


def test_all_62_cases_are_here() -> None:
    assert {case[:3] for case in FAULTS} == {f"F{n:02}" for n in range(1, 41)}
    assert {case[:3] for case in HEALTHY} == {f"H{n:02}" for n in range(1, 23)}
