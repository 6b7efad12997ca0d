"""A pattern that backtracks without end, searched by the runner, fails its own group only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Workplace

ENDLESS = "(a+)+$"
#: What the pattern never comes to an end with; the unit itself goes on.
PRINTS = f"""command = ["sh", "-c", "echo {"a" * 60}!; echo up; exec sleep 60"]
stop = "runner"
"""


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (f"ready = {{log = '{ENDLESS}'}}", f"unit app: ready = {{log = '{ENDLESS}'}}"),
        (
            f"[['app'.probes]]\nlog = '{ENDLESS}'\nstep = 'a'",
            f"unit app: the log probe '{ENDLESS}'",
        ),
    ],
    ids=["ready", "log probe"],
)
def test_an_endless_search_is_an_error_of_its_group(
    workplace: Workplace, key: str, named: str
) -> None:
    workplace.group({"app": PRINTS + key}, configs="timeout = 50", name="endless")
    workplace.group(
        {"app": PRINTS + "ready = {log = '^up$'}"}, configs="timeout = 50", name="other"
    )
    outcome = workplace.run("-j", "2")
    groups = {group["id"]: group for group in outcome.report["groups"]}
    assert (outcome.exit_code, groups["other"]["verdict"]) == (5, "pass")
    assert groups["endless"]["verdict"] == "error"
    found = [one for one in groups["endless"]["findings"] if one["code"] == "infra"]
    assert found
    for finding in found:
        assert finding["message"].startswith(f"{named} took more than 1 s of CPU time")
