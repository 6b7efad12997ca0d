"""The detection corpus: real processes with a fault, and healthy ones that look like one."""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
CASES = sorted(path.parent for path in CORPUS.glob("cases/*/expect.toml"))


def load_judge() -> Any:
    spec = importlib.util.spec_from_file_location("corpus_judge", CORPUS / "judge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def judge() -> Any:
    return load_judge()


@pytest.fixture(scope="module")
def testrium() -> str:
    """The console script beside the interpreter that runs the tests."""
    script = shutil.which("testrium", path=str(Path(sys.executable).parent))
    assert script is not None, "the package is not installed"
    return script


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_gets_its_verdict(case: Path, judge: Any, testrium: str) -> None:
    options = argparse.Namespace(testrium=testrium, legacy=False, keep=False)
    outcome = judge.judge(case, options)
    expected = outcome.expected.text()
    assert not outcome.problems, f"expected {expected}; got {outcome.got} {outcome.problems}"


def test_the_corpus_is_complete() -> None:
    assert len(CASES) == 62
