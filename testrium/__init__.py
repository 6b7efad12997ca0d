"""Testrium proves that every message of a system followed its declared route.

What code under test needs, loaded at first use so importing it costs a unit next to nothing:

    import testrium
    me = testrium.unit()
    me.send("command-sent", key="r-1")
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing.TYPE_CHECKING`, without the 5 ms that importing typing takes
if TYPE_CHECKING:
    from testrium import api, testing
    from testrium.errors import InjectedFault
    from testrium.probe.emitter import UnitProbes as Unit
    from testrium.probe.emitter import metric, unit
    from testrium.probe.event import ProbeRecord as Event
    from testrium.probe.log_handler import logging_handler

__version__ = "1.0.0"

__all__ = [
    "Event",
    "InjectedFault",
    "Unit",
    "__version__",
    "api",
    "logging_handler",
    "metric",
    "testing",
    "unit",
]


def __getattr__(name: str) -> object:
    if name in ("api", "testing"):
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    if name in ("Unit", "unit"):
        from testrium.probe import emitter

        return emitter.UnitProbes if name == "Unit" else emitter.unit
    if name == "metric":
        from testrium.probe.emitter import metric

        return metric
    if name == "logging_handler":
        from testrium.probe.log_handler import logging_handler

        return logging_handler
    if name == "Event":
        from testrium.probe.event import ProbeRecord

        return ProbeRecord
    if name == "InjectedFault":
        from testrium.errors import InjectedFault

        return InjectedFault
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
