"""The small language of `expect`: comparisons of named values. Nothing in it can do harm.

    total == price * count and 0 < len(name) <= 20

Numbers, texts, names, `+ - * / // %`, `== != < <= > >=`, `in`, `and or not`, lists in brackets, and
the functions of `FUNCTIONS`. Python's parser reads it; what the tree may hold and what it means is
decided here, so attributes, calls of anything else, and powers are refused.
"""

from __future__ import annotations

import ast
import json
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from testrium.checks.patterns import NotationError
from testrium.errors import TestriumError
from testrium.phrases import one_of

FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "len": len,
    "abs": abs,
    "min": min,
    "max": max,
    "sum": sum,
    "round": round,
    "int": int,
    "float": float,
    "str": str,
    "lower": lambda text: str(text).lower(),
    "upper": lambda text: str(text).upper(),
    "strip": lambda text: str(text).strip(),
}
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_LONGEST = 2000
#: How deep an expression may be nested, as a sum of this many terms is.
_DEEPEST = 200
#: Digits that `round` may be asked for.
_MOST_PLACES = 300
#: Products of texts and lists are refused anyway; this bounds texts that are added.
_MOST_DIGITS = 400

_ARITHMETIC: Final[Mapping[type[ast.AST], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISONS: Final[Mapping[type[ast.AST], Callable[[Any, Any], Any]]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}
_NUMERAL = re.compile(r"\s*[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?\s*")
_INTEGRAL = re.compile(r"\s*[-+]?[0-9]+\s*")


class FoundText(str):
    """A text that was found in an output: a number wherever it is compared with one."""

    __slots__ = ()


class ExpressionError(TestriumError):
    """The expression cannot be computed with these values: a text is not a number."""


class Expression(NamedTuple):
    """An expression that was read. `names` are those of the values it speaks of."""

    text: str
    tree: ast.expr
    names: tuple[str, ...]

    def value(self, values: Mapping[str, Any]) -> Any:
        """Compute the expression. Raises ExpressionError."""
        try:
            return _value(self.tree, values)
        except ExpressionError as error:
            raise ExpressionError(f"{self.text!r}: {error}") from None
        except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise ExpressionError(f"{self.text!r}: {error}") from error
        except Exception as error:  # a method of the user's own, see `parse`
            kind = type(error).__name__
            raise ExpressionError(f"{self.text!r}: {kind}: {error}") from error


def parse(
    text: str, known: Iterable[str] | None = None, *, with_methods: bool = False
) -> Expression:
    """Read an expression.

    Args:
        text: what the user wrote.
        known: the names that have a value; None: any.
        with_methods: whether `name.attribute`, `name.method(...)` and `name[index]` are allowed: in
            the user's own process they can do no more than the code around them.

    Raises:
        NotationError: it is none, or names something unknown.
    """
    if len(text) > _LONGEST:
        raise NotationError(f"{text[:40]}…", _LONGEST, "is too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what is refused below anyway
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        # 0: the text ended too early.
        column = error.offset + len(text) - len(text.lstrip()) if error.offset else len(text) + 1
        raise NotationError(text, column, f"invalid expression: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NotationError(text, 1, f"invalid expression: {error}") from None
    if _is_deeper(tree, _DEEPEST):
        raise NotationError(f"{text[:40]}…", 1, f"is nested more than {_DEEPEST} levels deep")
    names = None if known is None else frozenset(known)
    reader = _ExpressionReader(text, names, with_methods=with_methods)
    reader.check(tree)
    return Expression(text, tree, tuple(reader.names))


def _is_deeper(tree: ast.expr, levels: int) -> bool:
    level: list[ast.AST] = [tree]
    for _ in range(levels):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return False
    return True


class _ExpressionReader:
    """Refuses everything that the language does not have."""

    def __init__(self, text: str, known: frozenset[str] | None, *, with_methods: bool) -> None:
        self._with_methods = with_methods
        self.names: dict[str, None] = {}
        self._text = text
        self._known = known

    def check(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(value=bool() | int() | float() | str()):
                pass
            case ast.Name(id=name):
                self._check_name(name, node)
            case ast.BoolOp(values=values) | ast.List(elts=values) | ast.Tuple(elts=values):
                self._check_all(values)
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd(), operand=operand):
                self.check(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                self._check_all((left, right))
            case ast.Compare(left=left, ops=ops, comparators=others) if all(
                type(op) in _COMPARISONS for op in ops
            ):
                self._check_all((left, *others))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                if name not in FUNCTIONS:
                    self._refuse(node, f"unknown function {name!r}{one_of(name, FUNCTIONS)}")
                self._check_all(args)
            case ast.Constant(value=None) | ast.Slice() if self._with_methods:
                parts = (getattr(node, name, None) for name in ("lower", "upper", "step"))
                self._check_all(part for part in parts if part is not None)
            case ast.Attribute(value=value) if self._with_methods:
                self.check(value)
            case ast.Subscript(value=value, slice=index) if self._with_methods:
                self._check_all((value, index))
            case ast.Call(func=ast.Attribute(value=value), args=args, keywords=keywords) if (
                self._with_methods
            ):
                self._check_all((value, *args, *(keyword.value for keyword in keywords)))
            case _:
                what = ast.get_source_segment(self._text.strip(), node) or type(node).__name__
                self._refuse(node, f"{what!r} is not allowed in an expression")

    def _check_all(self, nodes: Iterable[ast.expr]) -> None:
        for node in nodes:
            self.check(node)

    def _check_name(self, name: str, node: ast.expr) -> None:
        if name in _CONSTANTS:
            return
        self.names[name] = None
        if self._known is not None and name not in self._known:
            known = ", ".join(sorted(self._known)) or "none"
            self._refuse(node, f"unknown name {name!r}; known are: {known}")

    def _refuse(self, node: ast.expr, reason: str) -> None:
        indent = len(self._text) - len(self._text.lstrip())
        raise NotationError(self._text, node.col_offset + indent + 1, reason)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _CONSTANTS[name] if name in _CONSTANTS else values[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, values) for item in items]
        case ast.BoolOp(op=op, values=parts):
            result: Any = None
            for part in parts:
                result = _value(part, values)
                if bool(result) is isinstance(op, ast.Or):
                    break
            return result
        case ast.UnaryOp(op=op, operand=operand):
            inner = _value(operand, values)
            if isinstance(op, ast.Not):
                return not inner
            number = _number(inner)
            return -number if isinstance(op, ast.USub) else number
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, _value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compared(_value(left, values), ops, others, values)
        case ast.Call(func=ast.Name(id=name), args=args):
            return _called(name, [_value(argument, values) for argument in args])
        case ast.Attribute(value=inner, attr=name):
            return getattr(_value(inner, values), name)
        case ast.Subscript(value=inner, slice=index):
            return _value(inner, values)[_value(index, values)]
        case ast.Slice():
            bounds = (node.lower, node.upper, node.step)
            return slice(*(None if one is None else _value(one, values) for one in bounds))
        case ast.Call(func=ast.Attribute() as method, args=args, keywords=keywords):
            given = {str(one.arg): _value(one.value, values) for one in keywords}
            return _value(method, values)(*(_value(one, values) for one in args), **given)
    raise AssertionError(f"{type(node).__name__} was not refused")  # pragma: no cover


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Add):
        left, right = _paired(left, right)
        if type(left) is str and type(right) is str:
            return left + right
    return _ARITHMETIC[type(op)](_number(left), _number(right))


def _compared(
    left: Any, ops: list[ast.cmpop], others: list[ast.expr], values: Mapping[str, Any]
) -> bool:
    for op, other in zip(ops, others, strict=True):
        right = _value(other, values)
        if isinstance(op, ast.In | ast.NotIn) and isinstance(right, list):
            found = any(operator.eq(*_paired(left, item)) for item in right)
            holds = found is isinstance(op, ast.In)
        elif isinstance(op, ast.In | ast.NotIn):
            holds = _COMPARISONS[type(op)](left, right)
        else:
            holds = _COMPARISONS[type(op)](*_paired(left, right))
        if not holds:
            return False
        left = right
    return True


def _called(name: str, arguments: list[Any]) -> Any:
    if name in ("abs", "round", "int", "float"):
        arguments = [_number(argument) for argument in arguments]
        if name == "round" and any(abs(places) > _MOST_PLACES for places in arguments[1:]):
            raise ExpressionError(f"round takes at most {_MOST_PLACES} places")
    elif name in ("min", "max", "sum"):
        if len(arguments) == 1 and isinstance(arguments[0], list):
            arguments = arguments[0]
        numbers = [_number(argument) for argument in arguments]
        arguments = [numbers] if name == "sum" else numbers
        if not numbers and name != "sum":
            raise ExpressionError(f"{name} of nothing")
        if len(numbers) == 1 and name != "sum":
            return numbers[0]
    return FUNCTIONS[name](*arguments)


def _paired(left: Any, right: Any) -> tuple[Any, Any]:
    """Two values as they are compared: found texts are numbers beside numbers, or both numerals.

    So are those in two lists, of which one may be a tuple.
    """
    if isinstance(left, FoundText) and isinstance(right, FoundText):
        if _NUMERAL.fullmatch(left) and _NUMERAL.fullmatch(right):
            return _number(left), _number(right)
        return str(left), str(right)
    if isinstance(left, FoundText):
        return (_number(left) if _is_number(right) else str(left)), right
    if isinstance(right, FoundText):
        return left, (_number(right) if _is_number(left) else str(right))
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        if len(left) != len(right):
            return list(left), list(right)
        pairs = [_paired(*pair) for pair in zip(left, right, strict=True)]
        return [one for one, _ in pairs], [other for _, other in pairs]
    return left, right


def told_value(value: Any) -> str:
    """A value as the language writes it: `null`, `true`, a text in quotes."""
    if isinstance(value, str):
        return repr(str(value))
    return json.dumps(value, ensure_ascii=False, default=str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> Any:
    if _is_number(value):
        return value
    if isinstance(value, FoundText) and len(value) <= _MOST_DIGITS:
        if _INTEGRAL.fullmatch(value):
            return int(value)
        if _NUMERAL.fullmatch(value):
            return float(value)
    raise ExpressionError(f"{told_value(value)} is not a number")
