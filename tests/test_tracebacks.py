"""Whose frames those of a traceback are."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

import testrium.tracebacks
from testrium.testing import CheckError, check_value, wait_until
from testrium.tracebacks import (
    add_asserted_values,
    deepest_own,
    is_library,
    where_raised,
    without_ours,
)


@pytest.mark.parametrize(
    "file",
    [
        json.__file__,
        testrium.tracebacks.__file__,
        "<frozen importlib._bootstrap>",
        "/usr/lib/python3.11/asyncio/runners.py",
        "/home/ada/shop/.venv/lib/python3.13t/site-packages/redis/client.py",
        "/usr/lib/python3/dist-packages/yaml/__init__.py",
        r"C:\Python312\Lib\json\decoder.py",
        r"C:\shop\.venv\Lib\site-packages\redis\client.py",
    ],
)
def test_libraries(file: str) -> None:
    assert is_library(file)


@pytest.mark.parametrize(
    "file",
    [
        "/home/ada/shop/test_case.py",
        "test_case.py",
        "<string>",
        r"C:\shop\lib\wire.py",
        "/lib/x.py",
    ],
)
def test_what_is_the_users(file: str) -> None:
    assert not is_library(file)


def test_a_neighbour_of_this_package_is_not_part_of_it() -> None:
    assert not is_library(
        testrium.tracebacks.__file__.replace("testrium/tracebacks", "testrium_shop/a")
    )


def test_the_deepest_of_the_user() -> None:
    library = json.__file__
    assert deepest_own([library, "a.py", "b.py", library, library]) == 2
    assert deepest_own(["a.py"]) == 0
    assert deepest_own([library, library]) == 1
    assert deepest_own([]) is None


def traceback_of(error: BaseException) -> list[str]:
    return "".join(traceback.format_exception(error)).rstrip().split("\n")


def test_what_we_did_for_the_users_call_is_left_out() -> None:
    with pytest.raises(CheckError) as caught:
        check_value(3, equals=4)
    lines = traceback_of(caught.value)
    shown = without_ours(lines)
    assert f"line {caught.tb.tb_lineno}," in shown[1]
    assert "check_value(3, equals=4)" in shown[2]
    assert shown[-1].startswith("testrium.testing.CheckError: the value is 3")
    assert not any("asserting.py" in line for line in shown)
    assert any("asserting.py" in line for line in lines)


def test_what_a_users_function_raised_below_ours_stays() -> None:
    def condition() -> bool:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        wait_until(condition)
    lines = traceback_of(caught.value)
    assert without_ours(lines) == tuple(lines)


@pytest.mark.parametrize("text", ["", "no traceback", "Traceback (most recent call last):\nX: y"])
def test_other_text_stays(text: str) -> None:
    lines = text.split("\n")
    assert without_ours(lines) == tuple(lines)


def test_where_something_was_raised() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    here = f"{Path(__file__).relative_to(Path.cwd())}:{caught.tb.tb_lineno}"
    assert where_raised(caught.value) == f" ({here})"
    assert where_raised(ValueError("never raised")) == ""


def test_a_failed_assert_shows_its_parts_once_and_no_literal(tmp_path: Path) -> None:
    code = "state, n = 'open', 4\nassert state == 'paid' or n in [1, 2] or not [3]\n"
    (tmp_path / "code.py").write_text(code)
    with pytest.raises(AssertionError) as caught:
        exec(compile(code, str(tmp_path / "code.py"), "exec"), {})
    add_asserted_values(caught.value)
    assert str(caught.value) == "assert state == 'paid' or n in [1, 2] or (not [3])"
    assert caught.value.__notes__ == [
        "  (state == 'paid') = False",
        "  state = 'open'",
        "  (n in [1, 2]) = False",
        "  n = 4",
        "  (not [3]) = False",
    ]
