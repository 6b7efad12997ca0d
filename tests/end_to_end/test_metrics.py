"""Figures of a run, from the call to the finding."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

SHELL = [sys.executable, "-m", "testrium", "probe", "--metric", "shell size", "9", "--unit", "B"]
LIMITS = """
[metrics]
throughput = {min = 10, unit = "1/s"}
rows = {max = 3}
"shell size" = {max = 100, unit = "B"}
duration = {max = "1m"}
"python.rss" = {max = "1kB"}
absent = {}
"""


def test_figures_of_every_kind_of_process_are_judged(workplace: Workplace) -> None:
    workplace.group(
        {
            "python": 'entrypoint = "test_case:python"\nin-except = "Resume"',
            "lines": """command = ["sh", "-c", '''
                echo '{"metric": "rows", "value": 4}' >> "$TESTRIUM_PROBES"
                echo '{"metric": "rows", "value": 5}' >> "$TESTRIUM_PROBES"
                ''']""",
            "shell": f"command = {json.dumps(SHELL)}",
        },
        """
        import os, signal
        def python():
            testrium.unit().probe("ready")
            testrium.metric("throughput", 12.5, "1/s", better="larger")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        tables=LIMITS,
    )
    outcome = workplace.run()
    assert outcome.codes == [
        "crash python",  # what it reported before is not lost
        "metric rows",
        "metric python.rss",
        "metric absent",
    ]


def test_a_line_that_is_no_metric_is_a_gap(workplace: Workplace) -> None:
    workplace.group(
        {
            "lines": """command = ["sh", "-c", '''
                echo '{"metric": "rows", "value": "4"}' >> "$TESTRIUM_PROBES"
                ''']""",
        },
    )
    outcome = workplace.run()
    assert outcome.codes == ["gap lines"]
    assert "value is a number" in outcome.group["findings"][0]["hints"][0]
