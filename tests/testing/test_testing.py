"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from testrium import testing


def test_every_name_is_there() -> None:
    assert all(getattr(testing, name).__doc__ for name in testing.__all__)
    assert set(testing.__all__) <= set(dir(testing))


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'wait_for_rain'"):
        getattr(testing, "wait_for_rain")  # noqa: B009 - it does not exist, mypy says


@pytest.mark.unmeasured
def test_it_is_light() -> None:
    """Importing it imports nothing; a wait imports neither SQLite nor asyncio."""
    code = (
        "import sys, testrium.testing as t\n"
        "assert [m for m in sys.modules if m.startswith('testrium.')] == ['testrium.testing']\n"
        "t.wait_for_port, t.start, t.wait_for_log\n"
        "print([m for m in ('asyncio', 'sqlite3', 'click', 'rich', 'ast') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
