"""The detection corpus: real processes with a fault, and healthy ones that look like one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
CASES = sorted(path.parent for path in CORPUS.glob("cases/*/expect.toml"))

#: Cases whose sentence of the rules the code does not keep yet; each that does leaves the list.
NOT_YET = frozenset(
    {
        "H29_pool_outlives_the_stop_signal",
    }
)


def _parameter(case: Path) -> Any:
    known = case.name in NOT_YET
    marks = [pytest.mark.xfail(strict=True, reason="not judged so yet")] if known else []
    return pytest.param(case, id=case.name, marks=marks)


@pytest.mark.parametrize("case", [_parameter(case) for case in CASES])
def test_case_gets_its_verdict(case: Path, judge: Any, testrium: str) -> None:
    options = argparse.Namespace(testrium=testrium, legacy=False, keep=False)
    outcome = judge.judge(case, options)
    expected = outcome.expected.text()
    assert not outcome.problems, f"expected {expected}; got {outcome.got} {outcome.problems}"


def test_the_corpus_is_complete() -> None:
    assert len(CASES) == 87
