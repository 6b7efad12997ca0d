"""A check, and a normaliser."""

import re
from collections.abc import Mapping
from pathlib import Path

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def few_files(settings: Mapping[str, str]) -> str | None:
    """`plugin = "few-files"`, `settings = {folder = "${run.dir}", most = "9"}`."""
    count = sum(path.is_file() for path in Path(settings["folder"]).iterdir())
    if count <= int(settings["most"]):
        return None
    return f"{count} files, not {settings['most']} or fewer"


def without_uuids(text: str) -> str:
    """`normalize = ["uuid"]`."""
    return _UUID.sub("<uuid>", text)
