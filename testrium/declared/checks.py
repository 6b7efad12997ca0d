"""What else must hold: the tables `[[checks]]`."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from testrium.words import (
    EMPTY,
)

#: What a check looks at.
SubjectKind = Literal["log", "file", "json", "exists", "absent", "value", "plugin"]


class Normalizer(NamedTuple):
    """What is replaced in both sides of a comparison.

    `name` is one that Testrium knows ("datetime"), or "" for the regular expression `sub`, whose
    matches become `by`. With `plugin`, its fields (see `plugins.registry`), that one does it.
    """

    name: str
    sub: str = ""
    by: str = ""
    plugin: tuple[str, ...] = ()


class Check(NamedTuple):
    """What else must hold. Texts may hold `${...}`.

    `target` is a unit for "log", a path for "file", "json", "exists" and "absent", a text for
    "value". `counted` is how often `contains` must match: an operator and a number. `equals` is a
    tuple of the one expected value, or None: any value may be expected.
    """

    name: str
    kind: SubjectKind
    target: str
    contains: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    sequence: tuple[str, ...] = ()
    last: str | None = None
    counted: tuple[str, int] | None = None
    literal: bool = False
    #: "traceback", or a pattern for lines that continue the one before; "": each stands for itself.
    join: str = ""
    ignore: tuple[str, ...] = ()
    at: str | None = None
    equals: tuple[Any] | None = None
    extract: tuple[str, ...] = ()
    expect: tuple[str, ...] = ()
    golden: str | None = None
    normalize: tuple[Normalizer, ...] = ()
    unordered: bool = False
    #: The fields of a `testrium.plugins.registry.Plugin` that makes the check, and what it is told.
    plugin: tuple[str, ...] = ()
    settings: Mapping[str, str] = EMPTY

    @property
    def calls_plugin(self) -> bool:
        """Whether code of somebody else is called to make it."""
        return bool(self.plugin) or any(one.plugin for one in self.normalize)
