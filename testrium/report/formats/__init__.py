"""Testrium's own writers, by name: each is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from testrium.report.writer import Writer

#: Name -> module and class.
FORMATS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "json": ("testrium.report.json_report", "JsonWriter"),
        "json-stream": ("testrium.report.formats.stream", "StreamWriter"),
        "junit": ("testrium.report.formats.junit", "JunitWriter"),
        "html": ("testrium.report.formats.html", "PageWriter"),
        "tap": ("testrium.report.formats.tap", "TapWriter"),
    }
)


def make_writer(name: str, target: str | None, cwd: Path) -> Writer:
    """The writer of this name (a key of FORMATS)."""
    module, attribute = FORMATS[name]
    made: Writer = getattr(importlib.import_module(module), attribute)(target, cwd)
    return made
