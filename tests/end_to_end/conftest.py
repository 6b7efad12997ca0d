"""What end-to-end tests share; groups and the command line: `Workplace` in tests/conftest.py."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace

    __all__ = ["Outcome", "Workplace"]


@pytest.fixture(scope="session")
def judge() -> Any:
    """The corpus's own judge, a module."""
    path = Path(__file__).resolve().parents[1] / "corpus" / "judge.py"
    spec = importlib.util.spec_from_file_location("corpus_judge", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def testrium() -> str:
    """The console script beside the interpreter that runs the tests."""
    script = shutil.which("testrium", path=str(Path(sys.executable).parent))
    assert script is not None, "the package is not installed"
    return script
