"""Which legs of which circuits took longest: asked at the end of a long run."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

from testrium.errors import InfraError
from testrium.model import Event, GroupResult
from testrium.report.closing import Leg
from testrium.report.wording import label
from testrium.statistics import median

#: Stores that are larger (bytes) are not read: nobody waits for a remark.
_MOST_BYTES = 2_000_000


def slowest_legs(results: Iterable[GroupResult], most: int = 3) -> tuple[Leg, ...]:
    """The legs, from one event of a key to its next, with the longest medians."""
    legs = [leg for result in results for leg in _legs_of(result)]
    return tuple(sorted(legs, key=lambda leg: -leg.median_ms)[:most])


def _legs_of(result: GroupResult) -> list[Leg]:
    from testrium.record.restored import read_circuits
    from testrium.record.store import load_evidence
    from testrium.run.folder import RunFolder
    from testrium.verify.ways import ways_of

    if result.files is None or not result.judgement.circuits:
        return []
    folder = RunFolder(result.files)
    times: dict[tuple[str, str], list[float]] = {}
    with suppress(InfraError, OSError):
        if folder.database.stat().st_size > _MOST_BYTES:
            return []
        evidence = load_evidence(folder.database)
        for circuit in ways_of(read_circuits(folder.scenario), evidence):
            for way in circuit.ways:
                for one, other in pairwise(sorted(way.events, key=lambda event: event.t_ns)):
                    if one.domain == other.domain:  # times of two clocks do not compare
                        leg = (_place(one), _place(other))
                        times.setdefault(leg, []).append((other.t_ns - one.t_ns) / 1e6)
    name = label(result.scenario)
    return [
        Leg(name, start, end, median(taken), len(taken)) for (start, end), taken in times.items()
    ]


def _place(event: Event) -> str:
    return f"{event.unit}:{event.step}"
