"""What becomes of each test of a unittest suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.suites import protocol, unittest_suite

if TYPE_CHECKING:
    from tests.suites.conftest import Told

CODE = """
import unittest

class T(unittest.TestCase):
    def test_ok(self): pass
    def test_no(self): self.assertEqual(1, 2)
    def test_error(self): raise OSError("gone")
    @unittest.skip("later")
    def test_skip(self): pass
    @unittest.expectedFailure
    def test_known(self): self.fail()
    @unittest.expectedFailure
    def test_mended(self): pass
    def test_parts(self):
        for number in range(3):
            with self.subTest(number=number): self.assertNotEqual(number, 1)
    def test_skipped_part(self):
        with self.subTest(number=4): self.skipTest("none")

class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise RuntimeError("no service")
    def test_never(self): pass
"""


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_imports: None
) -> Callable[[str], None]:
    """Runs the suite at a path below the test's folder."""

    def run(path: str) -> None:
        for name, text in protocol.environment([str(tmp_path / path)], [], []).items():
            monkeypatch.setenv(name, text)
        unittest_suite.main()

    return run


def test_every_outcome(
    tmp_path: Path,
    run: Callable[[str], None],
    outcomes: Callable[[], dict[str, tuple[str, str]]],
    told: Told,
) -> None:
    (tmp_path / "suite_with_all_outcomes.py").write_text(CODE)
    run("suite_with_all_outcomes.py")
    every = {
        test.removeprefix("suite_with_all_outcomes."): each for test, each in outcomes().items()
    }
    assert every == {
        "T.test_ok": ("passed", ""),
        "T.test_no": ("failed", "AssertionError: 1 != 2"),
        "T.test_error": ("failed", "OSError: gone"),
        "T.test_skip": ("skipped", "later"),
        "T.test_skipped_part (number=4)": ("skipped", "none"),
        "T.test_known": ("passed", "failed as expected"),
        "T.test_mended": ("failed", "passed although a failure is expected"),
        "T.test_parts (number=1)": ("failed", "AssertionError: 1 == 1"),
        "setUpClass (suite_with_all_outcomes.Broken)": ("failed", "RuntimeError: no service"),
    }
    lines = CODE.splitlines()
    assert [lines[each["line"] - 1].strip() for each in told()] == [
        'def setUpClass(cls): raise RuntimeError("no service")',
        'def test_error(self): raise OSError("gone")',
        "@unittest.expectedFailure",
        "@unittest.expectedFailure",
        "def test_no(self): self.assertEqual(1, 2)",
        "def test_ok(self): pass",
        "with self.subTest(number=number): self.assertNotEqual(number, 1)",
        '@unittest.skip("later")',
        "def test_skipped_part(self):",
    ]
    assert {each["file"] for each in told()} == {str(tmp_path / "suite_with_all_outcomes.py")}
    assert not [each for each in told() if "unittest/case.py" in each.get("traceback", "")]


def test_a_folder_and_a_module_that_cannot_be_imported(
    tmp_path: Path, run: Callable[[str], None], outcomes: Callable[[], dict[str, tuple[str, str]]]
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/test_that_is_broken.py").write_text("import nothing_of_this_name")
    (tmp_path / "inner/other.py").write_text("raise SystemExit")  # is no test*.py
    run("inner")
    ((test, (outcome, message)),) = outcomes().items()
    assert test == "unittest.loader._FailedTest.test_that_is_broken"
    assert outcome == "failed"
    assert message.startswith("ImportError: Failed to import test module: test_that_is_broken")
