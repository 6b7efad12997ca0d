"""What a page shows of a group besides its result: gathered from the run's folder."""

from __future__ import annotations

from contextlib import suppress

from testrium.errors import InfraError
from testrium.model import RESERVED_UNITS, GroupResult
from testrium.model.detail import Detail


def details_of(result: GroupResult) -> Detail:
    """All that the run's folder holds; what is gone or cannot be read is left out."""
    from testrium.record.moments import load_logs, load_moments
    from testrium.record.restored import read_circuits
    from testrium.record.store import load_evidence
    from testrium.regular_files import regular_text
    from testrium.run.folder import RunFolder
    from testrium.verify.ways import ways_of

    detail = Detail()
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
        detail = detail._replace(circuits=ways_of(circuits, evidence))
    return detail
