"""Our `NamedTuple` makes what typing's does, and a run uses it."""

from __future__ import annotations

import pickle
import typing
from collections.abc import Mapping
from typing import Any

import pytest

from testrium.tuples import NamedTuple


class Ours(NamedTuple):
    """A place."""

    unit: str
    step: str | None = None
    meta: Mapping[str, Any] = {}

    @property
    def place(self) -> str:
        return f"{self.unit}:{self.step}"

    @classmethod
    def of(cls, text: str) -> Ours:
        unit, _, step = text.partition(":")
        return cls(unit, step)

    def __str__(self) -> str:
        return self.place


class Typings(typing.NamedTuple):
    """A place."""

    unit: str
    step: str | None = None
    meta: Mapping[str, Any] = {}


def test_it_makes_what_typing_makes() -> None:
    for name in (
        "_fields",
        "_field_defaults",
        "__doc__",
        "__module__",
        "__match_args__",
        "__bases__",
    ):
        assert getattr(Ours, name) == getattr(Typings, name), name
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Typings)
    assert Ours.__qualname__ == "Ours"


def test_values_are_as_those_of_typing() -> None:
    value = Ours.of("client:sent")
    assert tuple(value) == ("client", "sent", {}) == tuple(Typings("client", "sent"))
    assert (str(value), value._replace(step="got").place) == ("client:sent", "client:got")
    assert repr(value) == "Ours(unit='client', step='sent', meta={})"
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(TypeError, match="unit"):
        Ours()  # type: ignore[call-arg]
