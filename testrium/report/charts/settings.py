"""The configuration of a group for a page: as its files say it, and as it was effective."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import tomli_w

from testrium.declared.keys import toml_tables
from testrium.report.masking import mask_of
from testrium.results import GroupResult
from testrium.system.files import regular_text


class WrittenFile(NamedTuple):
    """A file of the group as its user wrote it; `changed` since the run, as far as can be seen."""

    name: str
    lines: tuple[str, ...]
    changed: bool


_MOST_FILES = 40

_MOST_FILE_BYTES = 200_000


def written_files(result: GroupResult, started_wall: float) -> tuple[WrittenFile, ...]:
    """config.toml and the files of units, where the group's folder is here."""
    folder = result.scenario.group.folder
    if not folder.is_absolute():
        return ()
    hide = mask_of(result.scenario).text
    files: list[WrittenFile] = []
    with suppress(OSError, ValueError):  # a folder of another machine, or none at all
        for path in [folder / "config.toml", *sorted((folder / "units").glob("*.toml"))]:
            status = path.stat()
            if status.st_size > _MOST_FILE_BYTES or len(files) == _MOST_FILES:
                continue
            lines = tuple(map(hide, regular_text(path, "replace").splitlines()))
            changed = 0 < started_wall < status.st_mtime
            files.append(WrittenFile(str(path.relative_to(folder)), lines, changed))
    return tuple(files)


#: What the stored scenario says of itself, and no key of a file.
_INTERNAL = frozenset(
    ("id", "folder", "fixture_units", "has_setup", "has_teardown", "test_modules", "matrix")
)


def effective_config(stored: str, hide: Callable[[str], str] = str) -> tuple[str, ...]:
    """The scenario as it was run, laid out as the files of a group are, as lines of TOML."""
    try:
        data = toml_tables(stored)
        group, units = data["group"], data["units"]
        tables = {
            key: value
            for key, value in group.items()
            if isinstance(value, dict)
            or (isinstance(value, list) and any(isinstance(one, dict) for one in value))
        }
        plain = {
            key: value for key, value in group.items() if key not in _INTERNAL and key not in tables
        }
        params = data["scenario"].get("params")
        texts = [
            tomli_w.dumps({"Configs": {"units": list(units), **_said(plain)}, **tables}),
            *([tomli_w.dumps({"parameters of this result": params})] if params else ()),
            *(
                f"# units/{name}.toml\n{tomli_w.dumps({name: unit})}"
                for name, unit in units.items()
            ),
        ]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return tuple(map(hide, stored.splitlines()))  # of another version
    return tuple(map(hide, "\n".join(texts).splitlines()))


def _said(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty, which says nothing."""
    return {key: value for key, value in table.items() if value not in ("", [], {})}
