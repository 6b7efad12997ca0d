"""Groups of 0.3.0 end as they did, but for what the list of differences says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from testrium import core
from testrium.errors import ExitCode
from tests.classic.groups_of_030 import CASES
from tests.conftest import Workplace

CODES = {"pass": 0, "fail": 1, "unknown": 4, "error": 5, "skip": 0}
LIST = Path(__file__).resolve().parents[2] / "docs" / "reference" / "classic-api.md"


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, int]:
    """The exit code of each group that can be run; all of them in one run."""
    base = tmp_path_factory.mktemp("groups")
    ids = {}
    for number, (name, case) in enumerate(CASES.items()):
        if case.expected != ExitCode.CONFIG_ERROR:
            folder = case.write(base / f"g{number}")
            ids[folder.relative_to(base).as_posix()] = name
    outcome = Workplace(base, base.name).run("-j", "6", limit_s=110)
    found: dict[str, int] = {}
    for group in outcome.report["groups"]:
        name = ids[group["id"]]
        found[name] = max(found.get(name, 0), CODES[group["verdict"]])
    return found


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.expected != 3])
def test_a_group_that_runs(name: str, verdicts: Mapping[str, int]) -> None:
    assert verdicts[name] == CASES[name].expected


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.expected == 3])
def test_a_group_that_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CASES[name].write(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert core.run_cli(["check"]) == 3


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.expected != c.then])
def test_a_difference_is_in_the_list(name: str) -> None:
    assert (
        f"- **{CASES[name].difference}**" in LIST.read_text().partition("## What is different")[2]
    )


def test_there_are_enough_groups_and_each_difference_is_one() -> None:
    assert len(CASES) >= 38
    for case in CASES.values():
        assert (case.now is None) == (case.difference == "")
        assert case.now != case.then
