from __future__ import annotations

import pickle

import pytest

from testrium.declared.groups import Group, Scenario
from testrium.words import EMPTY, UNKNOWN_CODES, Code


def test_empty_cannot_be_filled() -> None:
    with pytest.raises(TypeError):
        EMPTY["key"] = 1  # type: ignore[index]


def test_a_scenario_can_be_handed_to_another_process(tmp_path: object) -> None:
    scenario = Scenario("a", Group("a", tmp_path, ()), ())  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(scenario)) == scenario


def test_codes_rank_as_documented() -> None:
    codes = list(Code)
    assert codes[0] is Code.INFRA
    assert set(codes[-len(UNKNOWN_CODES) :]) == UNKNOWN_CODES
    assert codes.index(Code.CRASH) < codes.index(Code.LOST) < codes.index(Code.LATE)
