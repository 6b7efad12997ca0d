"""A condition: `ready = {plugin = "line-in", settings = {file = "log", text = "up"}}`."""

from collections.abc import Mapping
from pathlib import Path


def line_in(settings: Mapping[str, str]) -> bool:
    """Whether a line of a file holds a text; a file that is not there yet raises, which is a no."""
    lines = Path(settings["file"]).read_text(encoding="utf-8").splitlines()
    return any(settings["text"] in line for line in lines)
