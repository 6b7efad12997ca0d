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
        "metric python.rss",
        "metric absent",
        "metric rows",
    ]


def test_an_invalid_metric_line_is_a_gap(workplace: Workplace) -> None:
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


#: A circuit whose times are given, so that no noise of the machine is in them: 20 ms from client
#: to host for each key, or what the variable HOP_MS says.
GIVEN_TIMES = """command = ["sh", "-c", '''
    for n in 1 2 3 4 5; do
        echo '{"unit": "client", "step": "sent", "key": "'$n'", "t_ns": '$n'000000000}'
        echo '{"step": "got", "key": "'$n'", "t_ns": '$n'0'$${HOP_MS:-20}'000000}'
        echo '{"unit": "db", "step": "stored", "key": "'$n'", "t_ns": '$n'100000000}'
    done >> "$TESTRIUM_PROBES"
    ''']"""
REGRESSION = """
[[circuits]]
name = "command"
route = ["client:sent", "host:got", "db:stored"]

[metrics]
"command.host:got.p50" = {max-regression = "20%"}
"""


def test_a_hop_that_became_slower_is_found_on_the_first_run(workplace: Workplace) -> None:
    workplace.group({"host": GIVEN_TIMES, "client": "", "db": ""}, tables=REGRESSION)
    for earlier in range(5):
        outcome = workplace.run()
        assert outcome.exit_code == 0, outcome.stdout
        (note,) = outcome.group["notes"]
        assert f": {earlier} earlier run" in note["message"]
        assert "not enough runs to compare" in outcome.stdout
    unchanged = workplace.run()
    assert (unchanged.exit_code, unchanged.group["notes"]) == (0, [])

    workplace.env["HOP_MS"] = "26"
    for _ in range(2):  # what failed is nothing to compare with
        slower = workplace.run()
        assert slower.exit_code == 1
        (finding,) = slower.group["findings"]
        assert finding["message"] == (
            "command.host:got.p50 is 26 ms, 30% worse than in 6 earlier runs: their median is 20 ms"
        )
    assert "metric command.host:got.p50" in workplace.run("--max-regression", "10%").codes
