from __future__ import annotations

from testrium.evidence import Event
from testrium.report.html import struck_events


def fault(**meta: object) -> Event:
    return Event(
        *(9, "a", "name", "Default", None, (), 1, None, 0, "here", 1, None, 1, 1, "", meta)
    )


def test_failpoints_name_the_event_that_they_struck() -> None:
    faults = [fault(event=4, do="kill", unit="a"), fault(do="cut", unit="b")]
    assert struck_events(faults) == {4: "planned kill"}
    assert struck_events([]) == {}
