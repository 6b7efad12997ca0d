"""What code under test imports: probes, and waiting for the probes of others.

Nothing here imports more than the standard library, and little of that: a unit pays for it at
every start.
"""

from testrium.probe.emitter import UnitProbes as Unit
from testrium.probe.emitter import emit, unit
from testrium.probe.event import ProbeRecord as Event

__all__ = ["Event", "Unit", "emit", "unit"]
