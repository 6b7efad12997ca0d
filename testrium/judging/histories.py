"""The histories of one group, judged: with a model of the user's in a process of its own."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from testrium.declared.checks import OperationHistory
from testrium.declared.groups import Scenario
from testrium.errors import TestriumError
from testrium.evidence import Event, Finding
from testrium.judging.workers import LostError, call_isolated
from testrium.tracebacks import error_with_place
from testrium.verify.linearizability import (
    MODELS,
    NOT_TOLD,
    Operation,
    history_findings,
)
from testrium.words import Code

#: Seconds that a history with a model of the user's may take.
LIMIT_S = 60.0


class _BadModelError(TestriumError):
    """The user's model raised, or is not a model; the message says where."""


def judge_histories(scenario: Scenario, events: Sequence[Event]) -> tuple[Finding, ...]:
    """What is wrong with the histories of a group, in the order of their declaration."""
    return tuple(
        finding
        for history in scenario.group.histories
        for finding in _findings(scenario, history, events)
    )


def _findings(
    scenario: Scenario, history: OperationHistory, events: Sequence[Event]
) -> Iterator[Finding]:
    if history.model in MODELS:
        yield from history_findings(history, events, MODELS[history.model]())
        return
    concerned = [
        event
        for event in events
        if history.invoke.operation(event.unit, event.step) is not None
        or history.answer.operation(event.unit, event.step) is not None
    ]
    paths = scenario.group.env.get("PYTHONPATH", "").split(os.pathsep)
    folders = [str(scenario.group.folder), *(path for path in paths if path and "${" not in path)]
    try:
        answer = call_isolated(partial(_with_own_model, history, concerned, folders), LIMIT_S)
    except LostError as error:
        answer = str(error)
    if isinstance(answer, str):
        text = f"{history.name} cannot be judged: the model {history.model}: {answer}"
        yield Finding(Code.UNDECIDED, history.name, text)
    else:
        yield from answer


def _with_own_model(
    history: OperationHistory, events: Sequence[Event], folders: Sequence[str]
) -> tuple[Finding, ...] | str:
    """The findings, or why there are none. Runs code of the user's."""
    sys.path[:0] = folders
    try:
        return tuple(history_findings(history, events, _OwnModel(history.model)))
    except _BadModelError as error:
        return str(error)


class _OwnModel:
    """A model in the group's folder: `module:function` returns an object with `init` and `step`.

    `init()` returns the state before the first operation; `step(state, operation)` whether the
    operation can give its result there, and the state after it.
    """

    def __init__(self, reference: str) -> None:
        module, _, name = reference.partition(":")
        try:
            self._model: Any = getattr(importlib.import_module(module), name)()
            self._init, self._step = self._model.init, self._model.step
        except (Exception, SystemExit) as error:
            raise _BadModelError(_told(error)) from error

    def init(self) -> Any:
        try:
            return self._init()
        except (Exception, SystemExit) as error:
            raise _BadModelError(_told(error)) from error

    def step(self, state: Any, operation: Operation) -> tuple[bool, Any]:
        if operation.result is NOT_TOLD:
            operation = operation._replace(result=None)
        try:
            allowed, after = self._step(state, operation)
        except (Exception, SystemExit) as error:
            raise _BadModelError(_told(error)) from error
        return bool(allowed), after


def _told(error: BaseException) -> str:
    return error_with_place(error)
