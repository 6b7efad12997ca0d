from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from testrium.report import group_text
from testrium.results import GroupResult


@pytest.mark.parametrize("name", ["passed", "lost", "crashed", "undecided", "hostile"])
def test_summary_of_a_group(
    name: str,
    request: pytest.FixtureRequest,
    cwd: Path,
    same_as_gold: Callable[[str, str], None],
) -> None:
    result: GroupResult = request.getfixturevalue(name)

    same_as_gold(f"summary-{name}.txt", group_text.summary(result, cwd=cwd))


def test_the_file_is_private_utf_8(hostile: GroupResult, tmp_path: Path) -> None:
    path = tmp_path / group_text.SUMMARY_FILE
    group_text.write_summary(hostile, path, cwd=tmp_path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert "\x1b" not in path.read_text(encoding="utf-8")
