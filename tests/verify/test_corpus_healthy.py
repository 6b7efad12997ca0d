"""The detection corpus as tables, third part: runs in which there is nothing to find."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.verify.conftest import COMMAND, PAIR, SHORT_PAIR

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


@pytest.mark.parametrize("case", sorted(HEALTHY))
def test_a_healthy_run_has_no_finding(case: str, findings_of: Callable[[str], str]) -> None:
    assert findings_of(HEALTHY[case]) == "pass"


def test_all_cases_are_here() -> None:
    assert {case[:3] for case in HEALTHY} == {f"H{n:02}" for n in range(1, 23)}
