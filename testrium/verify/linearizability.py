"""Whether operations can be put in one order that explains all of their answers.

A history is linearizable if every operation seems to happen at one instant between its call and
its answer (Herlihy and Wing, 1990). The search is that of Wing and Gong (1993) with the memory of
Lowe (2017): a state that was reached with the same operations done is not explored again. Objects
are independent of each other, so each is searched by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from math import inf
from typing import Any, Final, NamedTuple, Protocol

from testrium.declared.checks import OperationHistory, fill
from testrium.errors import TestriumError
from testrium.evidence import Event, Finding
from testrium.host_clocks import base_of, bounds_here
from testrium.phrases import plural
from testrium.words import Code

#: How many steps of a model are tried for one object, about a minute; then it stays undecided.
MOST_STEPS = 10_000_000
#: States from which the window of a contradiction is tried, and steps of the model for that.
_MOST_STATES = 10_000
_MOST_WINDOW_STEPS = 2_000_000
#: Operations that a message lists.
_MOST_SHOWN = 8


class _NotTold:
    """The result of an operation of which no probe has told it."""

    def __repr__(self) -> str:
        return "(not told)"


NOT_TOLD: Final = _NotTold()


class Operation(NamedTuple):
    """One call of an operation: `name` with the argument `value`, which returned `result`.

    `result` is NOT_TOLD without an answer, or where that has no `value`. `start_ns` and `end_ns`
    bound when it can have happened; infinite where that probe is missing.
    """

    name: str
    value: Any
    result: Any
    start_ns: float
    end_ns: float
    call: Event | None = None
    answer: Event | None = None

    @property
    def key(self) -> str | None:
        event = self.call or self.answer
        return None if event is None else event.key

    @property
    def answered(self) -> bool:
        """Whether it certainly happened."""
        return self.end_ns < inf

    @property
    def unit(self) -> str:
        event = self.call or self.answer
        return "" if event is None else event.unit

    def __str__(self) -> str:
        text = self.name if self.value is None else f"{self.name} {_shown(self.value)}"
        if self.end_ns == inf:
            text += " (no answer)"
        elif self.result is not NOT_TOLD:
            text += f" -> {_shown(self.result)}"
        return f"{text} by {self.unit}" + ("" if self.key is None else f" ({self.key})")


class Model(Protocol):
    """What operations work on."""

    def init(self) -> Any:
        """The state before the first operation."""

    def step(self, state: Any, operation: Operation) -> tuple[bool, Any]:
        """Whether the operation can give its result in this state, and the state after it."""


class UndecidedError(TestriumError):
    """It cannot be decided whether a history is linearizable; says why."""


# Models ---------------------------------------------------------------------------------------


def _fits(operation: Operation, result: Any) -> bool:
    return operation.result is NOT_TOLD or comparable(operation.result) == comparable(result)


class _Register:
    def init(self) -> Any:
        return None

    def step(self, state: Any, operation: Operation) -> tuple[bool, Any]:
        if operation.name == "read":
            return _fits(operation, state), state
        if operation.name == "write":
            return True, operation.value
        meta: Mapping[str, Any] = {} if operation.call is None else operation.call.meta
        swaps = comparable(meta.get("expected")) == comparable(state)
        return _fits(operation, swaps), operation.value if swaps else state


class _Counter:
    def init(self) -> Any:
        return 0

    def step(self, state: Any, operation: Operation) -> tuple[bool, Any]:
        if operation.name == "read":
            return _fits(operation, state), state
        amount = 1 if operation.value is None else operation.value
        if not isinstance(amount, int | float) or isinstance(amount, bool):
            raise UndecidedError(f"expected a number: {operation}")
        after = state + (amount if operation.name == "add" else -amount)
        return operation.result is None or _fits(operation, after), after


class _Set:
    def init(self) -> Any:
        return frozenset()

    def step(self, state: Any, operation: Operation) -> tuple[bool, Any]:
        if operation.name == "read":
            told = operation.result
            if told is NOT_TOLD:
                return True, state
            if not isinstance(told, list):
                raise UndecidedError(f"expected a list of members: {operation}")
            return frozenset(map(comparable, told)) == state, state
        value = comparable(operation.value)
        if operation.name == "contains":
            return _fits(operation, value in state), state
        after = state | {value} if operation.name == "add" else state - {value}
        told = operation.result
        changed = not isinstance(told, bool) or told is (after != state)
        return changed, after


class _Queue:
    def init(self) -> Any:
        return ()

    def step(self, state: Any, operation: Operation) -> tuple[bool, Any]:
        if operation.name == "enqueue":
            return True, (*state, comparable(operation.value))
        if not state:
            return operation.result in (NOT_TOLD, None), state
        fits = operation.result is NOT_TOLD or comparable(operation.result) == state[0]
        return fits, state[1:]


MODELS: Final[Mapping[str, Callable[[], Model]]] = {
    "register": _Register,
    "counter": _Counter,
    "set": _Set,
    "queue": _Queue,
}


def comparable(value: Any) -> Hashable:
    """A value that is equal to that of another only if both are, type included (1, 1.0, true)."""
    if type(value) is str or value is None:
        return value
    if isinstance(value, dict):
        return ("object", frozenset((name, comparable(each)) for name, each in value.items()))
    if isinstance(value, list | tuple):
        return ("list", tuple(map(comparable, value)))
    return (type(value).__name__, value) if isinstance(value, bool | int | float) else value


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# From events to operations --------------------------------------------------------------------


class Unreadable(NamedTuple):
    """An event that cannot be part of an operation, and why."""

    event: Event
    code: Code
    reason: str


class Operations(NamedTuple):
    """The operations of a history, by the object they work on, and what could not be read."""

    by_object: Mapping[str, Sequence[Operation]]
    problems: Sequence[Unreadable] = ()
    number: int = 0


def operations_of(history: OperationHistory, events: Iterable[Event]) -> Operations:
    """Pair calls and answers by key; the n-th call of a key has its n-th answer."""
    calls: dict[str, list[Event]] = {}
    answers: dict[str, list[Event]] = {}
    problems: list[Unreadable] = []
    for event in sorted(events, key=lambda each: (each.here_ns, each.id)):
        is_call = history.invoke.operation(event.unit, event.step) is not None
        if not is_call and history.answer.operation(event.unit, event.step) is None:
            continue
        if event.key is None:
            problems.append(
                Unreadable(event, Code.UNKEYED, "no key, by which a call has its answer")
            )
        else:
            (calls if is_call else answers).setdefault(event.key, []).append(event)
    found: dict[str, list[Operation]] = {}
    count = 0
    for key in dict.fromkeys((*calls, *answers)):
        called, answered = calls.get(key, []), answers.get(key, [])
        for number in range(max(len(called), len(answered))):
            call = called[number] if number < len(called) else None
            answer = answered[number] if number < len(answered) else None
            count += 1
            try:
                where, operation = _operation(history, call, answer)
            except ValueError as error:
                first = call or answer
                assert first is not None
                problems.append(Unreadable(first, Code.UNDECIDED, str(error)))
                continue
            if operation is not None:
                found.setdefault(where, []).append(operation)
    return Operations(found, problems, count)


def _operation(
    history: OperationHistory, call: Event | None, answer: Event | None
) -> tuple[str, Operation | None]:
    """The object and the operation; None if it told that it did not happen. Raises ValueError."""
    event = call or answer
    assert event is not None
    place = history.invoke if call is not None else history.answer
    written = place.operation(event.unit, event.step) or event.meta.get("operation")
    if not written:
        raise ValueError("no operation: put * into the step, or `operation` into the metadata")
    name = history.canonical(str(written))
    if name is None:
        raise ValueError(f"{written!r} is not an operation of the model {history.model!r}")

    def value_of(reference: str) -> Any:
        if reference.startswith("meta."):
            field = reference.removeprefix("meta.")
            for each in (call, answer):
                if each is not None and field in each.meta:
                    return each.meta[field]
            raise ValueError(f"no metadata {field!r}, by which `key` tells objects apart")
        return {"key": event.key, "unit": event.unit, "operation": name}[reference]

    where = fill(history.key, value_of)
    if answer is not None and answer.meta.get("ok") is False and "value" not in answer.meta:
        return where, None
    result = NOT_TOLD if answer is None else answer.meta.get("value", NOT_TOLD)
    start = -inf if call is None else call.t_ns if call.t_low_ns is None else call.t_low_ns
    end = inf if answer is None else answer.t_ns
    value = None if call is None else call.meta.get("value")
    return where, Operation(name, value, result, start, end, call, answer)


# The search -----------------------------------------------------------------------------------


class _Outcome(NamedTuple):
    """How a search ended. `stuck` is the operation whose answer nothing explains, or None."""

    stuck: int | None
    states: Sequence[Any] = ()


class _Search:
    """One search over operations, in the order of their calls.

    Args:
        operations: sorted by `start_ns`.
        model: what they work on.
        steps: how many steps of the model may be tried; counted down over several searches.
    """

    def __init__(self, operations: Sequence[Operation], model: Model, steps: list[int]) -> None:
        self._operations = operations
        self._model = model
        self._steps = steps
        # Entries of the linked list: 0 is its head, then calls and answers by time.
        points = [(one.start_ns, 0, number) for number, one in enumerate(operations)]
        points += [
            (one.end_ns, 1, number) for number, one in enumerate(operations) if one.end_ns < inf
        ]
        points.sort()
        self._entries: list[tuple[int, bool]] = [(-1, True)]
        self._answer_at = [0] * len(operations)
        for at, (_, kind, number) in enumerate(points, 1):
            self._entries.append((number, kind == 0))
            if kind:
                self._answer_at[number] = at
        size = len(self._entries)
        self._next = [*range(1, size), 0]
        self._previous = [size - 1, *range(size - 1)]

    def run(self, state: Any, optional: frozenset[int] = frozenset()) -> _Outcome:
        """Look for an order from `state` on; what is `optional` need not happen in it."""
        following, entries, operations = self._next, self._entries, self._operations
        open_answers = sum(
            one.end_ns < inf for number, one in enumerate(operations) if number not in optional
        )
        for number in optional:
            if self._answer_at[number]:
                self._unlink(self._answer_at[number])
        marks = [_mark(number) for number in range(len(operations))]
        done = 0
        seen: set[tuple[int, Hashable]] = set()
        states: dict[Hashable, Any] = {_hashable(state): state}
        path: list[tuple[int, Any]] = []
        deepest = 0
        at = following[0]
        while open_answers:
            number, is_call = entries[at]
            if at and is_call:
                operation = operations[number]
                self._count()
                allowed, after = self._model.step(state, operation)
                if allowed:
                    hashed = _hashable(after)
                    reached = (done ^ marks[number], hashed)
                    if reached not in seen:
                        seen.add(reached)
                        if len(states) < _MOST_STATES:
                            states.setdefault(hashed, after)
                        path.append((at, state))
                        state, done = after, reached[0]
                        if operation.end_ns < inf and number not in optional:
                            open_answers -= 1
                            self._unlink(self._answer_at[number])
                        self._unlink(at)
                        at = following[0]
                        continue
                at = following[at]
                continue
            deepest = max(deepest, at)
            if not path:
                return _Outcome(entries[deepest][0], tuple(states.values()))
            at, state = path.pop()
            number = entries[at][0]
            done ^= marks[number]
            self._link(at)
            if operations[number].end_ns < inf and number not in optional:
                open_answers += 1
                self._link(self._answer_at[number])
            at = following[at]
        return _Outcome(None)

    def _count(self) -> None:
        self._steps[0] -= 1
        if self._steps[0] < 0:
            raise UndecidedError("too many orders are possible to try them all")

    def _unlink(self, at: int) -> None:
        before, after = self._previous[at], self._next[at]
        self._next[before], self._previous[after] = after, before

    def _link(self, at: int) -> None:
        before, after = self._previous[at], self._next[at]
        self._next[before], self._previous[after] = at, at


def _mark(number: int) -> int:
    """A number of 128 bits for an operation: a set of operations is the exclusive or of theirs.

    A set of ten thousand would have to be hashed at every step; two sets have the same number
    with a probability of 2**-128.
    """
    return int.from_bytes(blake2b(number.to_bytes(8, "big"), digest_size=16).digest(), "big")


def _hashable(state: Any) -> Hashable:
    try:
        hash(state)
    except TypeError:
        return comparable(state) if isinstance(state, dict | list) else repr(state)
    return state if isinstance(state, str) else (type(state), state)


class Contradiction(NamedTuple):
    """The smallest window of operations that no order explains: it has none for `unexplained`."""

    window: Sequence[Operation]
    unexplained: Operation


def contradiction(
    operations: Sequence[Operation], model: Model, most_steps: int = MOST_STEPS
) -> Contradiction | None:
    """What no order of the operations explains; None if there is an order.

    Raises UndecidedError where too many orders are possible.
    """
    ordered = sorted(operations, key=lambda one: (one.start_ns, one.end_ns))
    steps = [most_steps]
    outcome = _Search(ordered, model, steps).run(model.init())
    if outcome.stuck is None:
        return None
    last = ordered[outcome.stuck]
    before = [one for one in ordered if one.start_ns <= last.end_ns]
    return Contradiction(_window(before, last, model, outcome.states), last)


def _window(
    operations: Sequence[Operation], last: Operation, model: Model, states: Sequence[Any]
) -> Sequence[Operation]:
    """The latest operations, up to the answer of `last`, that no state before them explains.

    Args:
        operations: those that were called before that answer, in the order of their calls.
        last: the one whose answer nothing explains.
        model: what they work on.
        states: those that the search has reached; the window is tried from each.
    """
    # What is answered after `last` may have happened or not.
    cut = [
        one if one.end_ns <= last.end_ns else one._replace(end_ns=inf, result=NOT_TOLD)
        for one in operations
    ]
    steps = [_MOST_WINDOW_STEPS]
    latest_first = states[::-1]
    high = operations.index(last)
    low, size = high, 1
    try:
        while low and not _is_contradiction(cut, low, model, latest_first, steps):
            high = low - 1
            low = max(0, low - size)
            size *= 2
        while low < high:
            middle = (low + high + 1) // 2
            if _is_contradiction(cut, middle, model, latest_first, steps):
                low = middle
            else:
                high = middle - 1
    except UndecidedError:  # then the window is larger than it needs to be
        low = 0
    begin = operations[low].start_ns
    return [one for one in operations[low:] if one.end_ns >= begin]


def _is_contradiction(
    operations: Sequence[Operation],
    first: int,
    model: Model,
    states: Sequence[Any],
    steps: list[int],
) -> bool:
    """Whether the operations from `first` on cannot be ordered, whatever the state before them."""
    begin = operations[first].start_ns
    inside = [(number < first, one) for number, one in enumerate(operations) if one.end_ns >= begin]
    optional = frozenset(number for number, (earlier, _) in enumerate(inside) if earlier)
    within = [one for _, one in inside]
    return all(
        _Search(within, model, steps).run(state, optional).stuck is not None for state in states
    )


# Findings -------------------------------------------------------------------------------------


def history_findings(
    history: OperationHistory, events: Iterable[Event], model: Model
) -> Iterator[Finding]:
    """What is wrong with one history.

    A model of the user's is code of the user's: its caller runs this in a process
    of its own.
    """
    found = operations_of(history, events)
    if not found.number and not found.problems:
        text = f"no event matched {history.invoke} or {history.answer}: nothing was proved"
        yield Finding(Code.VACUOUS, history.name, text)
    yield from _unreadable(history, found.problems)
    broken: dict[str, Contradiction] = {}
    for name, operations in found.by_object.items():
        shown = history.name + (f" of {name}" if name else "")
        try:
            found_there = _of_one_clock(operations, model)
        except UndecidedError as error:
            text = f"{shown}: {plural(len(operations), 'operation')} cannot be judged: {error}"
            yield Finding(Code.UNDECIDED, history.name, text)
        else:
            if found_there is not None:
                broken[shown] = found_there
    if broken:
        yield _inconsistent(history, broken)


def _of_one_clock(operations: Sequence[Operation], model: Model) -> Contradiction | None:
    events = [event for one in operations for event in (one.call, one.answer) if event is not None]
    clocks = {event.domain for event in events}
    if len({base_of(clock) for clock in clocks}) > 1:
        raise UndecidedError("its operations were timed by different clocks")
    if len(clocks) > 1:
        operations = [_widened(one) for one in operations]
    return contradiction(operations, model)


def _widened(operation: Operation) -> Operation:
    """The operation with the bounds that hold on the clock of the runner."""
    start, end = operation.start_ns, operation.end_ns
    if operation.call is not None:
        start = bounds_here(operation.call.domain, int(start), int(start))[0]
    if operation.answer is not None:
        end = bounds_here(operation.answer.domain, int(end), int(end))[1]
    return operation._replace(start_ns=start, end_ns=end)


def _unreadable(history: OperationHistory, problems: Sequence[Unreadable]) -> Iterator[Finding]:
    by_kind: dict[tuple[Code, str, str], list[Event]] = {}
    for event, code, reason in problems:
        by_kind.setdefault((code, f"{event.unit}:{event.step}", reason), []).append(event)
    for (code, place, reason), events in by_kind.items():
        text = f"{place}: {reason}; {history.name} is judged without it"
        if len(events) > 1:
            text += f" ({len(events)} times)"
        yield Finding(
            code,
            place if code is Code.UNKEYED else history.name,
            text,
            key=events[0].key,
            keys=tuple(dict.fromkeys(one.key for one in events if one.key is not None)),
            events=(events[0].id,),
            unit=events[0].unit,
            t_ns=events[0].t_ns,
        )


def _inconsistent(history: OperationHistory, broken: Mapping[str, Contradiction]) -> Finding:
    shown = min(broken, key=lambda name: broken[name].unexplained.end_ns)
    window, last = broken[shown]
    latest = window[-_MOST_SHOWN:]
    if len(window) == 1:
        text = f"{shown}: no order of the operations before it explains {last}"
    else:
        number = plural(len(window), "operation")
        more = f"the last {_MOST_SHOWN} are " if len(latest) < len(window) else ""
        text = f"{shown}: no order of {number} explains {last}: {more}{'; '.join(map(str, latest))}"
    if others := [name for name in broken if name != shown]:
        text += f" (likewise {', '.join(others)})"
    events = [event for one in latest for event in (one.call, one.answer) if event is not None]
    keys = [one.key for each in broken.values() for one in each.window if one.key is not None]
    return Finding(
        Code.INCONSISTENT,
        history.name,
        text,
        key=last.key,
        keys=tuple(dict.fromkeys(keys)),
        events=tuple(event.id for event in sorted(events, key=lambda one: (one.t_ns, one.id))),
        unit=last.unit,
        t_ns=int(last.end_ns),
    )
