"""The detection corpus: real processes with a fault, and healthy ones that look like one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
CASES = sorted(path.parent for path in CORPUS.glob("cases/*/expect.toml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_gets_its_verdict(case: Path, judge: Any, testrium: str) -> None:
    options = argparse.Namespace(testrium=testrium, legacy=False, keep=False)
    outcome = judge.judge(case, options)
    expected = outcome.expected.text()
    assert not outcome.problems, f"expected {expected}; got {outcome.got} {outcome.problems}"


def test_the_corpus_is_complete() -> None:
    assert len(CASES) == 87
