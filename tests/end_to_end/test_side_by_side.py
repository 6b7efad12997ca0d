"""Groups that crash, hang and leak side by side are judged as each of them alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace

CASES = Path(__file__).resolve().parents[1] / "corpus" / "cases"

#: The families process and hang: an exit code, a segfault, leaks and a dead thread; a deadlock,
#: a unit that ignores its signal, one that never becomes ready.
PROCESS = ("F23_exit_one", "F24_late_segfault", "F28_orphan_grandchild", "F31_thread_traceback")
HANG = ("F26_deadlock", "F27_hang_ignoring_sigterm", "F34_never_ready")


def placed(workplace: Workplace, families: tuple[str, ...]) -> None:
    for name in families:
        ignored = shutil.ignore_patterns("expect.toml", "__pycache__")
        shutil.copytree(CASES / name, workplace.folder / "groups" / name, ignore=ignored)


def findings(report: Any) -> dict[str, list[tuple[Any, ...]]]:
    """Of each group what is found, and which finding explains which."""
    return {
        group["id"]: [
            (
                found["code"],
                found["where"],
                found["circuit"],
                tuple(found["keys"]),
                found["explained_by"],
            )
            for found in group["findings"]
        ]
        for group in report["groups"]
    }


def alone(workplace: Workplace, names: tuple[str, ...]) -> dict[str, list[tuple[Any, ...]]]:
    outcomes = [workplace.run(str(Path("groups", name))) for name in names]
    return {group: found for one in outcomes for group, found in findings(one.report).items()}


def beside(workplace: Workplace) -> dict[str, list[tuple[Any, ...]]]:
    return findings(workplace.run("-j", "8", "groups").report)


@pytest.mark.soak
def test_two_groups_side_by_side_are_judged_as_alone(workplace: Workplace) -> None:
    names = (PROCESS[2], HANG[0])
    placed(workplace, names)
    assert beside(workplace) == alone(workplace, names)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_all_groups_of_both_families_are_judged_as_alone_twenty_times(
    workplace: Workplace,
) -> None:
    placed(workplace, PROCESS + HANG)
    expected = alone(workplace, PROCESS + HANG)
    assert len(expected) == len(PROCESS + HANG)
    for number in range(20):
        assert beside(workplace) == expected, f"round {number + 1}:\n{json.dumps(expected)}"
