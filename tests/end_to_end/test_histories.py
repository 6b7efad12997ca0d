"""Histories of operations in real runs: models of Testrium's and of the group's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Workplace

HISTORY = """
[[histories]]
name = "account"
model = "{model}"
invoke = "client:*-asked"
answer = "client:*-answered"
key = "${{meta.owner}}"
"""

CODE = """
    import os

    def client():
        me = testrium.unit()
        for number, (name, owner, value, result) in enumerate(OPERATIONS):
            key = f"o-{number}"
            me.probe(f"{name}-asked", key=key, owner=owner, value=value)
            me.probe(f"{name}-answered", key=key, value=result)

    class Account:
        def init(self):
            return 0

        def step(self, balance, operation):
            assert operation.answered
            if operation.name == "withdraw":
                covered = balance >= operation.value
                return operation.result is covered, balance - operation.value * covered
            return True, balance + operation.value

    def account():
        return Account()

    def broken():
        raise OSError("no such bank")

    def leaving():
        os._exit(3)
"""

UNIT = {"client": 'entrypoint = "test_case:client"'}


def code(operations: object) -> str:
    return f"\n    OPERATIONS = {operations!r}\n{CODE}"


def test_histories_are_judged_by_object_and_by_models_of_the_group(workplace: Workplace) -> None:
    covered = [("pay", "ann", 5, None), ("pay", "bob", 1, None), ("withdraw", "ann", 5, True)]
    own = HISTORY.format(model="test_case:account")
    workplace.group(UNIT, code(covered), tables=own, name="covered")
    overdrawn = [*covered, ("withdraw", "bob", 2, True)]
    workplace.group(UNIT, code(overdrawn), tables=own, name="overdrawn")
    raising = HISTORY.format(model="test_case:broken")
    workplace.group(UNIT, code(covered), tables=raising, name="raising")
    leaving = HISTORY.format(model="test_case:leaving")
    workplace.group(UNIT, code(covered), tables=leaving, name="leaving")
    writes = [("write", "ann", 1, None), ("write", "ann", 2, None), ("read", "ann", None, 1)]
    workplace.group(UNIT, code(writes), tables=HISTORY.format(model="register"), name="stale")
    outcome = workplace.run()
    groups = {group["id"]: group for group in outcome.report["groups"]}
    assert {name: group["verdict"] for name, group in groups.items()} == {
        "covered": "pass",
        "leaving": "unknown",
        "overdrawn": "fail",
        "raising": "unknown",
        "stale": "fail",
    }
    [finding] = groups["overdrawn"]["findings"]
    assert (finding["code"], finding["where"]) == ("inconsistent", "account")
    assert finding["key"] == "o-3"
    why = "account of bob: no order of the operations before it explains withdraw 2 -> true"
    assert finding["message"].startswith(why)
    [finding] = groups["raising"]["findings"]
    assert (finding["code"], finding["where"]) == ("undecided", "account")
    assert "OSError: no such bank (" in finding["message"]
    assert "test_case.py:" in finding["message"]
    [finding] = groups["leaving"]["findings"]
    assert finding["message"].endswith("test_case:leaving: its process ended with exit code 3")
    [finding] = groups["stale"]["findings"]
    assert finding["keys"] == ["o-1", "o-2"]
    assert len(finding["events"]) == 4
    again = workplace.finish(workplace.start("verify"))
    assert again.exit_code == 1
