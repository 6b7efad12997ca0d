"""Random runs of a route whose units break, against an oracle that is written from the rules.

A unit handles its keys in the order in which they come, leaves a key out now and then, and may
crash, raise or hang on its way; one that does not get all of its keys hangs. The oracle knows which
findings there are, and which of them nothing explains.
"""

from __future__ import annotations

import os
import random
from typing import NamedTuple

import pytest

from testrium.verify.judge import judge
from tests.verify.conftest import Table, brief

DEADLINE = 5000
OPTIONS = {
    "ok": "exit=0",
    "crash": "exit=3",
    "exception": "exit=1",
    "hang": "cause=overdue signal=SIGKILL",
}
#: Code, place, key; "" is the key of instances that never began.
Said = tuple[str, str, str | None]


class End(NamedTuple):
    how: str
    at: int


class History:
    """A run: when each unit handled each key, and how it ended. Times are milliseconds."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.route = [f"u{number}" for number in range(chance.randint(2, 4))]
        self.keys = [f"k{number}" for number in range(chance.randint(1, 5))]
        self.depends = {
            unit: before
            for before, unit in zip(self.route, self.route[1:], strict=False)
            if chance.random() < 0.3
        }
        self.handled: dict[tuple[str, str], int] = {}
        self.ends: dict[str, End] = {}
        self.lines: list[tuple[int, str]] = []
        arrivals = [(5 * number, key) for number, key in enumerate(self.keys)]
        for number, unit in enumerate(self.route):
            arrivals = sorted(self._work(unit, f"{unit} s{number}", arrivals))
        if chance.random() < 0.3:  # one outside the route, that waits for the last of it
            good = self.ends[self.route[-1]].how == "ok"
            self.ends["by"] = End("ok", 4000) if good else End("hang", DEADLINE)
            if good:
                self.lines.append((4000, "by done"))

    def _work(
        self, unit: str, probe: str, arrivals: list[tuple[int, str]]
    ) -> list[tuple[int, str]]:
        chance, now, passed = self.chance, 0, []
        how = chance.choice(("ok", "ok", "ok", "crash", "exception", "hang"))
        most = len(self.keys) if how == "ok" else chance.randint(0, len(self.keys))
        for came, key in arrivals[:most]:
            now = max(now, came) + chance.randint(1, 9)
            if chance.random() > 0.08:
                self.handled[unit, key] = now
                passed.append((now, key))
                self.lines.append((now, f"{probe} {key}"))
        now += chance.randint(1, 20)
        if how == "ok" and len(arrivals) == len(self.keys):
            self.lines.append((now, f"{unit} done"))
        elif how in ("ok", "hang"):
            how, now = "hang", DEADLINE
        elif how == "exception":
            self.lines.append((now, f"{unit} ValueError! meta.uncaught=main"))
        self.ends[unit] = End(how, now)
        return passed

    def text(self) -> str:
        """The run in the notation of `conftest`."""
        units = [
            f"unit {unit} done stop=self"
            + (f" dependencies={self.depends[unit]}" if unit in self.depends else "")
            for unit in self.ends
        ]
        route = " ".join(f"{unit}:s{number}" for number, unit in enumerate(self.route))
        events = [f"{line} @{at}" for at, line in sorted(self.lines)]
        ends = [f"end {unit} {OPTIONS[end.how]} at={end.at}" for unit, end in self.ends.items()]
        return "\n".join((*units, f"circuit {route} keys={len(self.keys)}", *events, *ends))


class Oracle:
    """What the rules say of a history: `said`, and of that the `roots`."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.route, self.handled, self.ends = history.route, history.handled, history.ends
        self.begun = [k for k in history.keys if (self.route[0], k) in self.handled]
        self.bad = [unit for unit, end in self.ends.items() if end.how != "ok"]
        self.said: set[Said] = set()
        self.roots: set[Said] = set()
        self.stages_of_losses: list[int] = []
        self._judge_keys()
        self._judge_ends()

    def _judge_keys(self) -> None:
        if len(self.begun) < len(self.history.keys):
            self._lose(0, "", owed=self.route[0] in self.bad)
        for key in self.begun:
            lost = [n for n, unit in enumerate(self.route) if (unit, key) not in self.handled]
            for place, number in enumerate(lost):
                owed = self.route[number] in self.bad and not self._was_past(number, key)
                self._lose(number, key, owed=owed or place > 0)

    def _lose(self, number: int, key: str, *, owed: bool) -> None:
        said = ("lost", f"{self.route[number]}:s{number}", key)
        self.said.add(said)
        self.stages_of_losses.append(number)
        if not owed:
            self.roots.add(said)

    def _was_past(self, number: int, key: str) -> bool:
        """Whether a key that came to the hop before it later was handled at the hop itself."""
        before, unit = self.route[number - 1], self.route[number]
        came = self.handled.get((before, key))
        return came is not None and any(
            self.handled.get((before, other), -1) > came and (unit, other) in self.handled
            for other in self.begun
        )

    def _judge_ends(self) -> None:
        for unit in self.bad:
            self.said |= {self._finding(unit), ("missing", f"{unit}:done", None)}
            if not self._is_explained(unit):
                self.roots.add(self._finding(unit))

    def _finding(self, unit: str) -> Said:
        how = self.ends[unit].how
        return (how, f"{unit}:ValueError" if how == "exception" else unit, None)

    def _is_explained(self, unit: str) -> bool:
        first = self._first_end()
        match self.ends[unit].how:
            case "crash":  # the first that made a peer raise is the cause of that, not its effect
                broke = [one for one in self.bad if self._broke(one, first)]
                return unit != min(broke, key=lambda one: self.ends[one].at, default=first)
            case "exception":
                return first != unit or any(self._broke(one, unit) for one in self.bad)
        return first != unit or self._waits(unit)

    def _first_end(self) -> str:
        """The earliest end; hangs, which are found at the deadline, in the order of units."""
        return min(self.bad, key=lambda one: self.ends[one].at)

    def _broke(self, crashed: str, raised: str) -> bool:
        """Whether the exception of one is what a peer sees of the crash of the other."""
        how = (self.ends[crashed].how, self.ends[raised].how)
        if how != ("crash", "exception") or self.ends[raised].at < self.ends[crashed].at - 500:
            return False
        needed = self.history.depends.get(raised)
        while needed is not None:
            if needed == crashed:
                return True
            needed = self.history.depends.get(needed)
        place = self.route.index(crashed)
        return self.route.index(raised) > place and any(
            (crashed, key) in self.handled
            and all((unit, key) not in self.handled for unit in self.route[place + 1 :])
            for key in self.begun
        )

    def _waits(self, unit: str) -> bool:
        """Whether a unit that hangs does so because of a key that was lost before it."""
        if unit in self.route:
            return min(self.stages_of_losses, default=9) < self.route.index(unit)
        return any(self._waits(one) for one in self.bad if one in self.route)


def difference(history: History) -> str:
    """What the judgement and the oracle do not agree on; "" where they do."""
    table = Table(history.text())
    judgement = judge(table.scenario(), table.evidence())
    oracle = Oracle(history)
    said: set[Said] = set()
    roots: set[Said] = set()
    for finding in judgement.findings:
        nobody = "" if finding.code == "lost" else None
        entries = {(str(finding.code), finding.where, key or nobody) for key in finding.keys}
        entries = entries or {(str(finding.code), finding.where, nobody)}
        said |= entries
        if finding.explained_by is None:
            roots |= entries
    expected = "fail" if oracle.said else "pass"
    if (said, roots, judgement.verdict) == (oracle.said, oracle.roots, expected):
        return ""
    return (
        f"findings: {sorted(map(str, said ^ oracle.said))}, roots: too much"
        f" {sorted(map(str, roots - oracle.roots))}, too little"
        f" {sorted(map(str, oracle.roots - roots))}\n{history.text()}\n{brief(judgement)}"
    )


@pytest.mark.parametrize("number", [400, pytest.param(50_000, marks=pytest.mark.soak)])
def test_the_roots_are_what_the_rules_say(number: int) -> None:
    seed = int(os.environ.get("TESTRIUM_SEED") or random.randrange(1 << 32))
    for each in range(seed, seed + number):
        history = History(random.Random(each))
        if not {unit for unit, _ in history.handled}:
            continue  # no key ever began: the circuit is vacuous
        assert not (different := difference(history)), f"seed {each}: {different}"
