"""Whose frames those of a traceback are."""

from __future__ import annotations

import json

import pytest

import testrium.frames
from testrium.frames import deepest_own, is_library


@pytest.mark.parametrize(
    "file",
    [
        json.__file__,
        testrium.frames.__file__,
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


def test_a_neighbour_of_this_package_is_no_part_of_it() -> None:
    assert not is_library(testrium.frames.__file__.replace("testrium/frames", "testrium_shop/a"))


def test_the_deepest_of_the_user() -> None:
    library = json.__file__
    assert deepest_own([library, "a.py", "b.py", library, library]) == 2
    assert deepest_own(["a.py"]) == 0
    assert deepest_own([library, library]) == 1
    assert deepest_own([]) is None
