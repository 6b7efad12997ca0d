"""What becomes of the examples in modules and texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testrium.suites import doctest_suite, protocol

if TYPE_CHECKING:
    from tests.suites.conftest import Told

MODULE = '''
from shop_of_doctests import PRICE

def total(number):
    """
    >>> total(2)
    6
    """
    return number * PRICE

def wrong():
    """
    >>> 1 + 1
    3
    >>> 1 / 0
    1
    """
'''


@pytest.mark.usefixtures("own_imports")
def test_modules_and_texts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    outcomes: Callable[[], dict[str, tuple[str, str]]],
    told: Told,
) -> None:
    package = tmp_path / "code/shop_of_doctests"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("PRICE = 3")
    (package / "sums.py").write_text(MODULE)
    (package / "broken.py").write_text(">>> ")
    (tmp_path / "code/README.md").write_text("# Shop\n\n    >>> 1 / 0\n    1\n")
    (tmp_path / "code/.hidden.md").write_text(">>> 1\n2\n")
    (tmp_path / "code/none.md").write_text("no example")
    for name, text in protocol.environment([str(tmp_path / "code")], [], []).items():
        monkeypatch.setenv(name, text)
    doctest_suite.main()
    places = {each["test"]: (Path(each["file"]).name, each["line"]) for each in told()}
    assert places == {
        "README.md": ("README.md", 3),
        "broken.py": ("broken.py", 1),
        "shop_of_doctests.sums.total": ("sums.py", 5),
        "shop_of_doctests.sums.wrong": ("sums.py", 13),
    }
    every = outcomes()
    assert every.pop("broken.py")[0] == "failed"
    assert every == {
        "README.md": ("failed", "1 / 0 raised ZeroDivisionError: division by zero"),
        "shop_of_doctests.sums.total": ("passed", ""),
        "shop_of_doctests.sums.wrong": ("failed", "1 + 1 gave '2', not '3'"),
    }
