"""Histories of operations: those that have an order, and the window of those that have none."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from math import inf

import pytest

from testrium.verify.linearizability import (
    MODELS,
    NOT_TOLD,
    Model,
    Operation,
    UndecidedError,
    contradiction,
)


def op(name: str, value: object, result: object, start: float, end: float) -> Operation:
    return Operation(name, value, result, start, end)


def written(text: str) -> list[Operation]:
    """`w1 0-2; r1 1-3; r? 4-`: writes and reads of a register with their times."""
    operations = []
    for part in text.split(";"):
        what, times = part.split()
        start, _, end = times.partition("-")
        ends = float(end) if end else inf
        value = None if what[1:] in ("", "?") else int(what[1:])
        if what[0] == "w":
            operations.append(op("write", value, NOT_TOLD, float(start), ends))
        else:
            result = NOT_TOLD if what[1:] == "?" else value
            operations.append(op("read", None, result, float(start), ends))
    return operations


ORDERED = {
    "nothing written": "r 0-1",
    "one after the other": "w1 0-1;r1 2-3;w2 4-5;r2 6-7",
    "a read beside a write, before it": "w1 0-1;w2 2-5;r1 3-4",
    "a read beside a write, after it": "w1 0-1;w2 2-5;r2 3-4",
    "two reads beside a write": "w1 0-1;w2 2-9;r1 3-4;r2 5-6",
    "a write without answer that happened": "w1 0-1;w2 2-;r2 3-4",
    "a write without answer that did not happen": "w1 0-1;w2 2-;r1 3-4",
    "a write without answer that happened later": "w1 0-1;w2 2-;r1 3-4;r2 5-6",
    "a result that was not told": "w1 0-1;r? 2-3",
    "touching times are concurrent": "w1 0-1;r 1-2",
}

WINDOWS = {
    "stale read": ("w1 0-1;w2 2-3;r1 4-5", "w2;r1"),
    "back to an older value": ("w1 0-1;w2 2-9;r2 3-4;r1 5-6", "r2;r1"),
    "never written": ("w1 0-1;r7 2-3", "r7"),
    "lost write": ("w1 0-1;r 2-3", "w1;r"),
    "a write without answer cannot be undone": ("w1 0-1;w2 2-;r2 3-4;r1 5-6", "r2;r1"),
    "long before": ("w1 0-1;r1 2-3;w2 4-5;r2 6-7;w3 8-9;r2 10-11", "w3;r2"),
}


@pytest.mark.parametrize("text", ORDERED.values(), ids=ORDERED)
def test_a_register_that_has_an_order(text: str) -> None:
    assert contradiction(written(text), MODELS["register"]()) is None


@pytest.mark.parametrize(("text", "window"), WINDOWS.values(), ids=WINDOWS)
def test_the_window_holds_what_no_order_explains(text: str, window: str) -> None:
    found = contradiction(written(text), MODELS["register"]())
    assert found is not None
    told = [
        f"{one.name[0]}{one.value if one.name == 'write' else one.result or ''}"
        for one in found.window
    ]
    assert found.unexplained is found.window[-1]
    wanted = window.split(";")
    assert [one for one in told if one in wanted] == wanted
    assert len(told) <= len(wanted) + 1  # beside it, what was under way


OTHERS: dict[str, tuple[list[tuple[str, object, object]], list[tuple[str, object, object]]]] = {
    "counter": (
        [("add", 2, NOT_TOLD), ("subtract", None, 1), ("read", None, 1)],
        [("add", None, NOT_TOLD), ("add", None, NOT_TOLD), ("read", None, 1)],
    ),
    "set": (
        [("add", "a", True), ("add", "a", False), ("contains", "a", True), ("read", None, ["a"])],
        [("add", "a", NOT_TOLD), ("remove", "a", NOT_TOLD), ("contains", "a", True)],
    ),
    "queue": (
        [("enqueue", 1, NOT_TOLD), ("enqueue", 2, NOT_TOLD), ("dequeue", None, 1)],
        [("enqueue", 1, NOT_TOLD), ("enqueue", 2, NOT_TOLD), ("dequeue", None, 2)],
    ),
    "register": (
        [("write", {"a": [1]}, NOT_TOLD), ("read", None, {"a": [1]})],
        [("write", 1, NOT_TOLD), ("read", None, True)],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_each_model_tells_a_right_history_from_a_wrong_one(name: str) -> None:
    for steps, right in zip(OTHERS[name], (True, False), strict=True):
        history = [op(*each, 2 * at, 2 * at + 1) for at, each in enumerate(steps)]
        assert (contradiction(history, MODELS[name]()) is None) is right


def test_a_queue_may_be_empty_and_an_empty_queue_gives_nothing() -> None:
    model = MODELS["queue"]()
    assert contradiction([op("dequeue", None, None, 0, 1)], model) is None
    assert contradiction([op("dequeue", None, 1, 0, 1)], model)


# Against brute force --------------------------------------------------------------------------


def has_order(operations: Sequence[Operation], model: Model) -> bool:
    """By trying every order of every choice of what happened."""
    answered = [one for one in operations if one.end_ns < inf]
    pending = [one for one in operations if one.end_ns == inf]
    for count in range(len(pending) + 1):
        for chosen in itertools.combinations(pending, count):
            if _extends([], [*answered, *chosen], model, model.init()):
                return True
    return False


def _extends(done: list[Operation], left: list[Operation], model: Model, state: object) -> bool:
    if not left:
        return True
    for one in left:
        if any(other.end_ns < one.start_ns for other in left):
            continue
        allowed, after = model.step(state, one)
        rest = [each for each in left if each is not one]
        if allowed and _extends([*done, one], rest, model, after):
            return True
    return False


KINDS = {
    "register": ("read", "write"),
    "counter": ("read", "add", "subtract"),
    "set": ("add", "remove", "contains", "read"),
    "queue": ("enqueue", "dequeue"),
}


def drawn(random_: random.Random, name: str) -> list[Operation]:
    """Up to eight operations that often fit, with times that overlap."""
    model = MODELS[name]()
    operations: list[Operation] = []
    state = model.init()
    for at in range(random_.randint(1, 8)):
        kind = random_.choice(KINDS[name])
        value = None if kind in ("read", "dequeue") else random_.randint(1, 3)
        results: list[object] = [NOT_TOLD, None, 0, 1, 2, 3, True, False]
        if kind == "read" and name == "set":
            results = [[], [1], [2], [1, 2], [1, 2, 3]]
        fitting = [one for one in results if model.step(state, op(kind, value, one, 0, 0))[0]]
        result = random_.choice(fitting if fitting and random_.random() < 0.8 else results)
        start = at * 2 + random_.uniform(-4, 4)
        end = inf if random_.random() < 0.1 else start + random_.uniform(0.1, 6)
        made = op(kind, value, NOT_TOLD if end == inf else result, start, end)
        allowed, after = model.step(state, made)
        state = after if allowed else state
        operations.append(made)
    return operations


@pytest.mark.parametrize("name", KINDS)
def test_the_search_agrees_with_brute_force(name: str) -> None:
    random_ = random.Random(f"histories of a {name}")
    agreed = {True: 0, False: 0}
    for _ in range(300):
        history = drawn(random_, name)
        model = MODELS[name]()
        expected = has_order(history, model)
        assert (contradiction(history, model) is None) is expected, history
        agreed[expected] += 1
    assert min(agreed.values()) > 30


def by_five_clients(count: int) -> list[Operation]:
    """Operations of a register that five clients share, each with the result that it had."""
    random_ = random.Random(5)
    happened: list[tuple[float, float, float, int]] = []
    clock = [0.0] * 5
    for number in range(count):
        client = min(range(5), key=clock.__getitem__)
        start = clock[client]
        instant = start + random_.random()
        clock[client] = instant + random_.random()
        happened.append((instant, start, clock[client], number))
    state, history = None, []
    for _, start, end, number in sorted(happened):
        if number % 3:
            history.append(op("read", None, state, start, end))
        else:
            state = number
            history.append(op("write", number, NOT_TOLD, start, end))
    return history


def test_the_search_takes_a_few_steps_for_each_of_ten_thousand_operations() -> None:
    assert contradiction(by_five_clients(10_000), MODELS["register"](), 300_000) is None


def test_a_stale_read_at_the_end_of_a_long_history_is_found_with_the_latest_write() -> None:
    history = by_five_clients(1_000)
    end = max(one.end_ns for one in history)
    stale = op("read", None, 9, end + 1, end + 2)
    found = contradiction([*history, stale], MODELS["register"](), 1_000_000)
    assert found is not None
    assert found.unexplained == stale
    assert len(found.window) <= 3


def test_what_would_take_too_long_stays_undecided() -> None:
    writes = [op("add", 1, NOT_TOLD, 0, 100) for _ in range(60)]
    with pytest.raises(UndecidedError, match="too many orders"):
        contradiction([*writes, op("read", None, 61, 0, 100)], MODELS["counter"](), 10_000)
