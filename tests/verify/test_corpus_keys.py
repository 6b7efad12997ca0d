"""The detection corpus as tables, first part: keys that are lost, doubled, late, elsewhere.

The corpus itself runs real processes (tests/end_to_end); these tables show that the verifier alone
gets from that evidence to the right root cause.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.verify.conftest import COMMAND, PAIR, SHORT_PAIR

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
}


@pytest.mark.parametrize("case", sorted(FAULTS))
def test_the_root_cause(case: str, root_of: Callable[[str], str]) -> None:
    text, expected = FAULTS[case]
    assert root_of(text) == expected


def test_all_cases_are_here() -> None:
    assert {case[:3] for case in FAULTS} == {f"F{n:02}" for n in range(1, 23)}
