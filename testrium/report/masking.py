"""Secrets in what units emit and print, hidden in all that leaves the folder of the run.

What matches `[verify] mask` is `***`, and the value of a `${env.NAME}` that the group declares is
`${env.NAME}`. Logs, probes and the store keep them: what is judged is what happened. The console,
every report and every archive hide them.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from testrium.checks.patterns import TookTooLongError, at_most
from testrium.declared.groups import Scenario
from testrium.evidence import End, Event, Finding, TestResult
from testrium.results import GroupResult, RunDetail, RunResult
from testrium.variables import EnvValues, map_texts

MASKED = "***"

#: In the place of a text, and of all after it, in which a pattern was searched for too long.
HIDDEN = "*** (a pattern of [verify] mask takes too long: does it backtrack?)"

#: Of CPU time, for one text.
_LIMIT_S = 1.0


class Mask:
    """Hides values of variables, and what matches any of some patterns.

    Without either everything stays as it is.
    """

    def __init__(self, patterns: tuple[str, ...], values: EnvValues | None = None) -> None:
        self._patterns = tuple(map(re.compile, patterns))
        self._values = values or None
        self._takes_too_long = False

    def __bool__(self) -> bool:
        return bool(self._patterns or self._values)

    def text(self, text: str) -> str:
        """The text with `***` in the place of each match, and names in that of values."""
        if self._values is not None:
            text = self._values.hidden(text)
        if not self._patterns:
            return text
        if self._takes_too_long:
            return HIDDEN
        try:
            with at_most(_LIMIT_S):
                for pattern in self._patterns:
                    text = pattern.sub(lambda found: MASKED if found[0] else "", text)
        except TookTooLongError:
            self._takes_too_long = True
            return HIDDEN
        return text

    def name(self, name: str) -> str:
        """A name, by which something is judged: only values of variables are hidden in it."""
        return name if self._values is None else self._values.hidden(name)

    def event(self, event: Event) -> Event:
        """The event with its key, its causes and its metadata hidden."""
        return event._replace(
            step=self.name(event.step),
            key=None if event.key is None else self.text(event.key),
            cause=tuple(map(self.text, event.cause)),
            meta=self._fields(event.meta),
        )

    def result(self, result: GroupResult) -> GroupResult:
        """The result as it may be shown."""
        measures = (
            one._replace(details=self._fields(one.details)) for one in result.judgement.measures
        )
        judgement = result.judgement._replace(
            measures=tuple(measures),
            findings=tuple(map(self._finding, result.judgement.findings)),
            notes=tuple(map(self._finding, result.judgement.notes)),
        )
        return result._replace(
            reason=self.text(result.reason),
            judgement=judgement,
            ends=tuple(map(self._end, result.ends)),
            tests=tuple(map(self._test, result.tests)),
            checks=tuple(
                check._replace(
                    message=self.text(check.message), details=tuple(map(self.text, check.details))
                )
                for check in result.checks
            ),
            witnesses={number: self.event(event) for number, event in result.witnesses.items()},
            faults=tuple(map(self.event, result.faults)),
            answer=self.text(result.answer),
        )

    def detail(self, detail: RunDetail) -> RunDetail:
        """What a page shows besides the result; its logs are hidden line by line when drawn."""
        hidden = [
            wait._replace(
                what=tuple(map(self.text, wait.what)), left=tuple(map(self.text, wait.left))
            )
            for wait in detail.moments.waits
        ]
        return detail._replace(
            events=tuple(map(self.event, detail.events)),
            moments=detail.moments._replace(waits=tuple(hidden)),
            circuits=tuple(
                circuit._replace(
                    paths=tuple(
                        path._replace(
                            name=self.text(path.name), events=tuple(map(self.event, path.events))
                        )
                        for path in circuit.paths
                    )
                )
                for circuit in detail.circuits
            ),
        )

    def _fields(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        return MappingProxyType(
            {
                self.name(name): map_texts(value, self.text, self.name)
                for name, value in fields.items()
            }
        )

    def _test(self, test: TestResult) -> TestResult:
        return test._replace(
            message=self.text(test.message),
            traceback=self.text(test.traceback),
            output=self.text(test.output),
            remarks=tuple((code, self.text(text)) for code, text in test.remarks),
        )

    def _finding(self, finding: Finding) -> Finding:
        return finding._replace(
            where=self.name(finding.where),
            message=self.text(finding.message),
            key=None if finding.key is None else self.text(finding.key),
            keys=tuple(map(self.text, finding.keys)),
            hints=tuple(map(self.text, finding.hints)),
        )

    def _end(self, end: End) -> End:
        return end._replace(
            message=self.text(end.message),
            last_lines=tuple(map(self.text, end.last_lines)),
            threads=tuple(map(self.text, end.threads)),
            leaks=tuple(
                leak._replace(command_line=self.text(leak.command_line)) for leak in end.leaks
            ),
        )


@functools.lru_cache(maxsize=1000)
def _mask(patterns: tuple[str, ...], variables: tuple[tuple[str, str], ...]) -> Mask:
    return Mask(patterns, EnvValues.of(dict(variables)))


def _variables(scenario: Scenario) -> tuple[tuple[str, str], ...]:
    """The variables that a group names, and their values now; no process has changed these."""
    return tuple((name, os.environ[name]) for name in scenario.env_names if name in os.environ)


def mask_of(scenario: Scenario) -> Mask:
    """The mask that a group declares."""
    return _mask(scenario.group.rules.mask, _variables(scenario))


def without_values(result: GroupResult) -> GroupResult:
    """The result as it may be stored: `[verify] mask` is for what leaves the folder of the run."""
    mask = _mask((), _variables(result.scenario))
    return mask.result(result) if mask else result


def masked(result: GroupResult) -> GroupResult:
    """The result of a group as it may be shown."""
    mask = mask_of(result.scenario)
    return mask.result(result) if mask else result


def masked_run(result: RunResult) -> RunResult:
    """The result of a run as it may be shown; its command line by the masks of all its groups."""
    command = result.origin.command
    for mask in {mask_of(group.scenario) for group in result.groups}:
        command = mask.text(command)
    origin = result.origin._replace(command=command)
    return result._replace(groups=tuple(map(masked, result.groups)), origin=origin)
