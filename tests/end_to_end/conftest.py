"""What end-to-end tests share; groups and the command line: `Workplace` in tests/conftest.py."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Outcome, Workplace

    __all__ = ["Outcome", "Workplace"]

#: A unit that has to emit `done`, and the code of the unit `a` that does.
PROBE = 'entrypoint = "test_case:{name}"\nevents = ["done"]'
DONE = """
def a():
    testrium.unit().probe("done")
"""


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


def wait_for_file(path: Path, limit_s: float = 20) -> None:
    """Wait until another process has made a file; only the limit is a time."""
    end = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < end, f"{path} was not made"
        time.sleep(0.005)
