"""`NamedTuple`, for classes that are made in half the time.

`typing.NamedTuple` compiles each annotation that is a text, to check that it could be a type. A
short run makes 120 such classes, which took a twentieth of it. Type checkers see typing's own.
"""

from __future__ import annotations

import sys
from collections import namedtuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or sys.version_info >= (3, 14):  # which makes annotations when they are read
    from typing import NamedTuple
else:

    class _NamedTupleMaker(type):
        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            fields = namespace.pop("__annotations__", {})
            defaults = [namespace.pop(field) for field in fields if field in namespace]
            module = namespace.pop("__module__")
            made = namedtuple(name, fields, defaults=defaults, module=module)  # noqa: PYI024
            made.__annotations__ = made.__new__.__annotations__ = fields
            for key, value in namespace.items():
                setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_NamedTupleMaker):
        """The base of a class whose annotations name its fields."""


__all__ = ["NamedTuple"]
