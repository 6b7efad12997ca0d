"""What the run's folder holds of a group besides its result."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise

from testrium.errors import InfraError
from testrium.evidence import Event
from testrium.record.reader import load_evidence, load_logs, load_moments
from testrium.record.scenario import read_circuits
from testrium.report.console import HopTime
from testrium.report.masking import mask_of
from testrium.report.wording import label
from testrium.results import GroupResult, RunDetail
from testrium.run.folder import RunFolder
from testrium.statistics import median
from testrium.system.safe_open import regular_text
from testrium.verify.instances import key_paths
from testrium.words import RESERVED_UNITS


def details_of(result: GroupResult) -> RunDetail:
    """All that the run's folder holds, masked; what is gone or cannot be read is left out."""
    detail = RunDetail()
    if result.files is None:
        return detail
    folder = RunFolder(result.files)
    units = dict.fromkeys((*(end.unit for end in result.ends), *RESERVED_UNITS))
    detail = detail._replace(logs=load_logs(result.files, units))
    with suppress(OSError):
        detail = detail._replace(config=regular_text(folder.scenario, "replace"))
    with suppress(InfraError):
        evidence = load_evidence(folder.database)
        detail = detail._replace(
            events=tuple(event for event in evidence.events if event.attempt == evidence.attempt),
            moments=load_moments(folder.database),
        )
        circuits = read_circuits(folder.scenario)
        detail = detail._replace(circuits=key_paths(circuits, evidence))
    mask = mask_of(result.scenario)
    return mask.detail(detail) if mask else detail


#: Stores that are larger (bytes) are not read: a remark is not worth the wait.
_MOST_BYTES = 2_000_000


def slowest_legs(results: Iterable[GroupResult], most: int = 3) -> tuple[HopTime, ...]:
    """The legs, from one event of a key to its next, with the longest medians."""
    legs = [leg for result in results for leg in _legs_of(result)]
    return tuple(sorted(legs, key=lambda leg: -leg.median_ms)[:most])


def _legs_of(result: GroupResult) -> list[HopTime]:
    if result.files is None or not result.judgement.circuits:
        return []
    folder = RunFolder(result.files)
    times: dict[tuple[str, str], list[float]] = {}
    with suppress(InfraError, OSError):
        if folder.database.stat().st_size > _MOST_BYTES:
            return []
        evidence = load_evidence(folder.database)
        for circuit in key_paths(read_circuits(folder.scenario), evidence):
            for way in circuit.ways:
                for one, other in pairwise(sorted(way.events, key=lambda event: event.t_ns)):
                    if one.domain == other.domain:  # times of two clocks do not compare
                        leg = (_place(one), _place(other))
                        times.setdefault(leg, []).append((other.t_ns - one.t_ns) / 1e6)
    name = label(result.scenario)
    return [
        HopTime(name, start, end, median(taken), len(taken))
        for (start, end), taken in times.items()
    ]


def _place(event: Event) -> str:
    return f"{event.unit}:{event.step}"
