"""The page of promises names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"

ROWS = [
    row
    for row in PAGE.read_text().splitlines()
    if row.startswith("| ") and not row.startswith("| promise")
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:50])
def test_each_promise_names_tests_that_exist(row: str) -> None:
    *_, places, tests, _ = row.split("|")
    assert re.fullmatch(r" (everywhere|Linux|Linux, macOS) ", places)
    named = re.findall(r"`T/([\w/]+\.py)::(\w+)`", tests)
    assert len(named) == tests.count("::") > 0
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), f"{file} has no {name}"


def test_there_are_promises() -> None:
    assert len(ROWS) > 25
