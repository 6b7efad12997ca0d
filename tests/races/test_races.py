"""Twenty small systems with one planted race each, and ten twins that have none.

`testrium explore` must find at least eighteen within 200 runs each, and nothing in the twins.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace

GROUPS = Path(__file__).parent / "groups"
NAMES = sorted(path.parent.name for path in GROUPS.glob("*/config.toml"))
TWINS = [name for name in NAMES if "HEALTHY" in (GROUPS / name / "config.toml").read_text()]
SEED = "1"


def explored(workplace: Workplace, name: str, *options: str, healthy: bool = False) -> Any:
    """What `testrium explore` reports of a copy of the group."""
    shutil.copytree(GROUPS / "lib", workplace.folder / "lib", dirs_exist_ok=True)
    shutil.copy(GROUPS / "testrium.toml", workplace.folder)
    shutil.copytree(GROUPS / name, workplace.folder / name, dirs_exist_ok=True)
    config = workplace.folder / name / "config.toml"
    if healthy:
        config.write_text(config.read_text().replace('HEALTHY = "no" ', 'HEALTHY = "yes"'))
    report = workplace.folder / f"{name}.json"
    command = ("explore", name, "--plain", "--seed", SEED, "--json", str(report), *options)
    outcome = workplace.finish(workplace.start(*command), limit_s=900)
    assert outcome.exit_code in (0, 1), outcome.stdout + outcome.stderr
    return json.loads(report.read_text())


def test_there_are_twenty_systems_and_ten_twins() -> None:
    assert (len(NAMES), len(TWINS)) == (20, 10)


@pytest.mark.parametrize("name", ["publish_before_commit", "overtaken"])
def test_a_race_is_found_and_told(workplace: Workplace, name: str) -> None:
    found = explored(workplace, name, "--runs", "3", "-x")["found"]
    assert len(found) == 1, found
    assert len(found[0]["decisions"]) == 1, found
    assert found[0]["order"]


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_at_least_eighteen_of_twenty_races_are_found(workplace: Workplace) -> None:
    reports = {name: explored(workplace, name, "--runs", "200", "-x") for name in NAMES}
    missed = [name for name, report in reports.items() if not report["found"]]
    assert len(missed) <= 2, missed
    for name, report in reports.items():
        for race in report["found"]:
            assert race["run"], name
            replays = [
                workplace.finish(workplace.start("replay", race["run"]), limit_s=60).exit_code
                for _ in range(10)
            ]
            assert replays == [1] * 10, name


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_nothing_is_found_in_the_healthy_twins(workplace: Workplace) -> None:
    found = {
        name: report["found"]
        for name in TWINS
        if (report := explored(workplace, name, "--runs", "200", healthy=True))["failed"]
    }
    assert found == {}
