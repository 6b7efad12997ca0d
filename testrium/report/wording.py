"""Words and numbers as every report writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from testrium.declared.groups import Scenario
from testrium.evidence import End, EndCause
from testrium.phrases import duration, plural
from testrium.report.escape import cells, cut
from testrium.results import Awaited, GroupResult
from testrium.words import BAD_VERDICTS, Verdict

#: In the order in which a summary counts them.
OUTCOMES = {
    Verdict.PASS: "passed",
    Verdict.FAIL: "failed",
    Verdict.ERROR: "in error",
    Verdict.UNKNOWN: "unknown",
    Verdict.XFAIL: "failed as expected",
    Verdict.SKIP: "skipped",
}

_CAUSES = {
    EndCause.STOPPED: "ran to the end of the group and was then stopped",
    EndCause.OVERDUE: "was still alive at the deadline",
    EndCause.TIMEOUT: "was still alive at its own timeout",
    EndCause.UNREADY: "did not become ready",
    EndCause.ABANDONED: "was stopped when the group ended early",
    EndCause.NOTRUN: "was never started",
    EndCause.INFRA: "was lost by the runner",
}


#: How many things that are waited for are named.
_MOST_AWAITED = 2

#: In less room than this, what is waited for cannot be recognised: the time alone is shown.
_LEAST_AWAITED = 20


def waiting(awaited: Awaited, now_ns: int, width: int | None = None) -> str:
    """`waiting for 3 keys at notifier:notified, 28 s left`; in `width` columns the time stays."""
    what = awaited.what
    named = ", ".join(what[:_MOST_AWAITED])
    more = f" and {len(what) - _MOST_AWAITED} more" if len(what) > _MOST_AWAITED else ""
    left = ""
    if awaited.until_ns is not None:
        left = f", {max(0, round((awaited.until_ns - now_ns) / 1e9))} s left"
    text = f"waiting for {named}{more}"
    if width is None:
        return text + left
    if width - len(left) < min(_LEAST_AWAITED, cells(text)) and left:
        return cut(left.removeprefix(", "), width)
    return cut(text, max(1, width - len(left))) + left


def split_place(text: str) -> tuple[str, str]:
    """The unit and the step of a hop; of alternatives all of it is the step."""
    if "|" in text:
        return "", text
    unit, _, step = text.partition(":")
    return unit, step


def label(scenario: Scenario) -> str:
    """A result's name for people: its id, its mode if there are several, its repeat.

    The same marks as in the name of its folder: `checkout@INFO+1`.
    """
    mode = f"@{scenario.mode}" if len(scenario.group.test_modes) > 1 else ""
    repeat = f"+{scenario.repeat}" if scenario.repeat else ""
    return f"{scenario.id}{mode}{repeat}"


def reason(result: GroupResult) -> str:
    """What the user wrote about a skip, an expected failure or an abort, or the runner says."""
    aborted = next((test.message for test in result.tests if test.aborted), "")
    expected = result.scenario.group.expect_fail if result.verdict is Verdict.XFAIL else ""
    return result.reason or result.scenario.skip or expected or aborted


def outcome(result: GroupResult) -> str:
    """Why a group came to its verdict, in a few words; "" where there is nothing to say."""
    if result.verdict is Verdict.SKIP:
        return f"skipped: {reason(result)}"
    if result.verdict is Verdict.XFAIL:
        return f"failed as expected: {reason(result)}"
    if result.verdict not in BAD_VERDICTS:
        return ""
    root = result.judgement.root
    if root is None:
        return result.reason
    keys = f" ({plural(root.number_of_keys, 'key')})" if len(root.keys) > 1 else ""
    return f"{root.title}{keys}"


def how_ended(end: End) -> str:
    """How a unit ended, as the rest of a sentence that starts with its name."""
    if end.cause is EndCause.SELF:
        if end.signal is not None:
            text = f"ended by {end.signal}"
        elif end.exit_code is not None:
            text = f"ended with exit code {end.exit_code}"
        else:
            text = "has no process of its own"
    else:
        text = _CAUSES[end.cause]
        if end.blocked_by is not None:
            text += f", because of {end.blocked_by}"
        if end.signal is not None:
            text += f" ({end.signal})"
        elif end.exit_code:
            text += f" (exit code {end.exit_code})"
    if end.starts > 1:
        text += f", after {end.starts} starts"
    repeats = end.cause is EndCause.UNREADY and end.message.startswith("not ready")
    return f"{text}: {end.message}" if end.message and not repeats else text


def counts(groups: Iterable[GroupResult]) -> tuple[tuple[Verdict, int], ...]:
    """The number of groups of each verdict, without zeros."""
    number = Counter(group.verdict for group in groups)
    return tuple((verdict, number[verdict]) for verdict in OUTCOMES if number[verdict])


def totals(groups: Iterable[GroupResult], duration_s: float) -> str:
    """`3 passed, 1 failed, 1 skipped in 2.10 s`."""
    parts = [f"{number} {OUTCOMES[verdict]}" for verdict, number in counts(groups)]
    return f"{', '.join(parts) or 'nothing was run'} in {duration(duration_s)}"
