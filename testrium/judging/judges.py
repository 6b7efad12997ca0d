"""Who judges the groups of a run: the runner itself what is done at once, else a process beside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from testrium.declared.groups import Scenario
from testrium.evidence import CheckResult
from testrium.judging.apart import Apart, GivenUpError
from testrium.judging.verdicts import classic_results, judged, judging_weight
from testrium.results import GroupResult

#: What has fewer bytes to read is judged in the runner's own loop: a process costs more.
INLINE_LIMIT = 2_000_000
#: How long one check may hold up the loop (seconds of CPU time); then it is made beside it.
HURRY_S = 0.05

_T = TypeVar("_T")


class Judges:
    """Judges groups without holding up the runner's loop.

    Args:
        update_golden: whether checks rewrite the reference files that differ.
        notice: gets what to tell the user about that.
    """

    def __init__(self, *, update_golden: bool, notice: Callable[[str], None]) -> None:
        self._update_golden = update_golden
        self._notice = notice
        self._apart = Apart()
        self._idle: list[Apart] = []  # of those that make checks

    async def judged(self, scenario: Scenario, database: Path, folder: Path) -> GroupResult:
        """Verify what was recorded. Raises InfraError."""
        return await self._computed(scenario, database, judged, folder)

    async def classic_results(
        self, scenario: Scenario, database: Path, duration_s: float
    ) -> Mapping[str, Any]:
        """What a group's `tests_results` callback gets. Raises InfraError."""
        return await self._computed(scenario, database, classic_results, duration_s)

    async def checks(
        self, scenario: Scenario, database: Path, may_rewrite: bool, interrupted: asyncio.Event
    ) -> tuple[CheckResult, ...] | None:
        """Make the checks of a group; None once `interrupted` is set. Raises InfraError.

        Those of other groups go on beside it: a plugin may wait for long.
        `may_rewrite`: nothing else has failed, so that what came out may become a reference.
        """
        from testrium.checks.patterns import TookTooLongError
        from testrium.judging.checks import make_checks, weight

        rewrite = self._update_golden and any(one.golden for one in scenario.group.checks)
        if rewrite and not may_rewrite:
            rewrite = False
            self._notice(f"{scenario.id}: it failed, so none of its reference files is rewritten")
        foreign = any(check.calls_plugin for check in scenario.group.checks)
        if not rewrite and not foreign and weight(scenario, database) < INLINE_LIMIT:
            with suppress(TookTooLongError):
                return make_checks(scenario, database, limit_s=HURRY_S, hurried=True).results
        apart = self._idle.pop() if self._idle else Apart()
        try:
            made = await apart.run(
                partial(make_checks, scenario, database, update_golden=rewrite),
                f"makes the checks of {scenario.id}",
                interrupted,
            )
        except GivenUpError:
            return None
        finally:
            self._idle.append(apart)
        for notice in made.notices:
            self._notice(notice)
        return made.results

    async def _computed(
        self,
        scenario: Scenario,
        database: Path,
        judge: Callable[[Scenario, Path, Any], _T],
        argument: Any,
    ) -> _T:
        if judging_weight(scenario, database) < INLINE_LIMIT:
            return judge(scenario, database, argument)
        work = partial(judge, scenario, database, argument)
        return await self._apart.run(work, f"judges {scenario.id}")
