"""Operations whose answers must fit one order of them: the tables `[[histories]]`."""

import re
from typing import Annotated, Any, Final

from testrium.declared.circuits import parse_place
from testrium.declared.keys import Key, Written, table
from testrium.declared.quantities import Label
from testrium.tuples import NamedTuple
from testrium.words import ANY

#: The models that Testrium has, each with its operations and their other names.
MODELS: Final = {
    "register": {
        "read": ("read", "get"),
        "write": ("write", "set", "put"),
        "compare-and-set": ("compare-and-set", "cas"),
    },
    "counter": {
        "read": ("read", "get"),
        "add": ("add", "increment", "incr"),
        "subtract": ("subtract", "decrement", "decr"),
    },
    "set": {
        "add": ("add", "insert"),
        "remove": ("remove", "delete"),
        "contains": ("contains", "has"),
        "read": ("read", "get", "members"),
    },
    "queue": {
        "enqueue": ("enqueue", "put", "push"),
        "dequeue": ("dequeue", "get", "take", "pop"),
    },
}

_REFERENCE: Final = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
_FIELD: Final = r"\$\{([^}]*)\}"


class OperationPlace(NamedTuple):
    """Where an operation begins or ends: `unit:step`, `*` for any unit.

    One `*` in the step means the operation's name.
    """

    unit: str
    step: str

    def __str__(self) -> str:
        return f"{self.unit}:{self.step}"

    def operation(self, unit: str, step: str) -> str | None:
        """The operation's name, if an event of this unit and step is one; "" if the step has none.

        None: it is not such an event.
        """
        if self.unit not in (ANY, unit):
            return None
        before, star, after = self.step.partition(ANY)
        if not star:
            return "" if step == self.step else None
        long_enough = len(step) > len(before) + len(after)
        if long_enough and step.startswith(before) and step.endswith(after):
            return step[len(before) : len(step) - len(after)]
        return None


def _read_place(value: Any) -> OperationPlace:
    if not isinstance(value, str) or not value.strip():
        raise ValueError('must be a text such as "client:*-asked"')
    unit, _, step = value.strip().partition(":")
    if step.count(ANY) > 1:
        raise ValueError(f"{value!r}: one '*' in the step is the operation's name")
    parse_place(f"{unit}:{step.replace(ANY, 'x')}" if step else value)
    return OperationPlace(unit.strip(), step.strip())


def _read_model(value: Any) -> str:
    if isinstance(value, str) and (value in MODELS or re.fullmatch(_REFERENCE, value)):
        return value
    known = ", ".join(MODELS)
    raise ValueError(f"expected {known} or module:function, got {value!r}")


def _read_template(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError('must be a text such as "${meta.item}"')  # noqa: TRY004 - shown
    for name in re.findall(_FIELD, value):
        if name not in ("key", "unit", "operation") and not name.startswith("meta."):
            raise ValueError(
                f"unknown ${{{name}}}: use ${{meta.FIELD}}, ${{key}}, ${{unit}} or ${{operation}}"
            )
    return value


_TEXT_SCHEMA: Final = {"type": "string", "minLength": 1}
PlaceOfOperation = Annotated[OperationPlace, Written(_read_place, _TEXT_SCHEMA, str)]


@table
class OperationHistory:
    """Operations that must look as if they had happened one after the other."""

    name: Annotated[Label, Key(required=True)] = ""
    """unique in the group"""
    model: Annotated[str, Written(_read_model, _TEXT_SCHEMA), Key(required=True)] = "register"
    """what the operations work on: `"register"`, `"counter"`, `"set"`, `"queue"`, or
    `"module:function"`, which returns an object with `init` and `step`
    """
    invoke: Annotated[PlaceOfOperation, Key(required=True)] = OperationPlace("", "")
    """the probe that is emitted before an operation; `*` in its step is the operation's name.
    The metadata `value` is its argument
    """
    answer: Annotated[PlaceOfOperation, Key(required=True)] = OperationPlace("", "")
    """the probe with the same key that is emitted once its answer is there. The metadata
    `value` is what it returned; `ok = false` says that it did not happen
    """
    key: Annotated[str, Written(_read_template, {"type": "string"})] = ""
    """which of several objects the operation works on: a text with `${meta.FIELD}`, `${unit}`,
    `${operation}` or `${key}`; by default there is one object
    """

    def canonical(self, operation: str) -> str | None:
        """The model's own name of an operation; None if it has none of this name."""
        operations = MODELS.get(self.model)
        if operations is None:
            return operation
        lowered = operation.lower().replace("_", "-")
        return next((name for name, names in operations.items() if lowered in names), None)


def fill(template: str, values: Any) -> str:
    """The text with each `${name}` replaced by `values(name)`."""
    return re.sub(_FIELD, lambda found: str(values(found[1])), template)
