"""How long it takes, and how much memory, to judge one million events against three circuits.

    python benchmarks/verify_million.py [--short]

Prints seconds and megabytes: for the events alone (as they come from the store), then for the
judgement. The aim is a judgement in under 5 s and 600 MB in all.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from sys import intern

from testrium.declared.circuits import Circuit, Hop, Rules
from testrium.declared.groups import Group, Scenario
from testrium.declared.units import Unit
from testrium.evidence import End, EndCause, Event, Evidence, UnitState
from testrium.verify.judge import judge
from testrium.words import EMPTY, Place

#: unit, step, type; five events a key
ROUTE = (
    ("client", "sent", "Send"),
    ("api", "received", "Receive"),
    ("worker", "stored", "Default"),
    ("api", "replied", "Send"),
    ("client", "done", "Receive"),
)
PIDS: Mapping[str, int] = {"client": 11, "api": 12, "worker": 13}


def hop(unit: str, step: str) -> Hop:
    return Hop(f"{unit}:{step}", (Place(unit, step),))


def circuits(keys: int) -> tuple[Circuit, ...]:
    hops = [hop(unit, step) for unit, step, _ in ROUTE]
    bounds = (keys, keys)
    return (
        Circuit(
            "request",
            tuple((one,) for one in hops),
            keys=bounds,
            within_ns=10**9,
            p50_ns=10**8,
            p95_ns=10**8,
            p99_ns=10**8,
        ),
        Circuit("storage", ((hops[1],), (hops[2],)), keys=bounds, fifo=True, same=("size",)),
        Circuit("answer", ((hops[3],), (hops[4],)), keys=bounds, never=(hop("api", "rollback"),)),
    )


def events(count: int) -> tuple[Event, ...]:
    """Interleaved as they would be stored: 50 keys on their way at a time."""
    keys, batch = count // len(ROUTE), 50
    numbers = dict.fromkeys(PIDS, 0)
    made: list[Event] = []
    for begin in range(0, keys, batch):
        names = [intern(f"request-{n}") for n in range(begin, min(begin + batch, keys))]
        for unit, step, kind in ROUTE:
            for name in names:
                numbers[unit] += 1
                number = len(made) + 1
                t_ns = 5_000_000_000_000 + number * 1000
                wall_ns = 1_700_000_000_000_000_000 + number * 1000
                pid, seq = PIDS[unit], numbers[unit]
                made.append(
                    Event(
                        number, unit, step, kind, name, (), t_ns, None, wall_ns, "here", pid, seq,
                        1, 1, unit, EMPTY,
                    )
                )  # fmt: skip
    return tuple(made)


def main() -> None:
    count = 1_000 if "--short" in sys.argv else 1_000_000
    units = tuple(
        Unit(name, init, f"units/{name}.toml", entrypoint="case:main")
        for init, name in enumerate(PIDS)
    )
    group = Group(
        "million",
        Path("million"),
        units,
        circuits=circuits(count // len(ROUTE)),
        rules=Rules(orphans="allow"),
    )
    began = time.perf_counter()
    stored = events(count)
    report("events", began)
    ends = tuple(
        End(unit.name, EndCause.SELF, UnitState.FINISHED, exit_code=0, pid=1, starts=1)
        for unit in units
    )
    began = time.perf_counter()
    judgement = judge(Scenario("million", group, units), Evidence(events=stored, ends=ends))
    report("judged", began)
    print(judgement.verdict, *(finding.message for finding in judgement.findings), sep="\n")


def report(what: str, began: float) -> None:
    seconds = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}: {seconds:.2f} s, {peak_mb:.0f} MB at most so far")


if __name__ == "__main__":
    main()
