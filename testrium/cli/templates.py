"""The templates of groups: those that Testrium brings along, and those of a project."""

from __future__ import annotations

import difflib
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from testrium.errors import UsageError
from testrium.resources import template_folder

CONFIG_FILE = "config.toml"

#: What lies in a group's folder and is no part of the group.
_NOT_COPIED = frozenset({"__pycache__"})


class Template(NamedTuple):
    """A group's folder to copy; `title` says what it is, in a line."""

    name: str
    folder: Path
    title: str


def known_templates(own: Path | None = None) -> Mapping[str, Template]:
    """All templates by name: Testrium's, then those in the project's folder `own`.

    One of the project stands in for Testrium's of the same name.
    """
    found = {}
    for place in (template_folder() / "scaffold", own):
        for folder in sorted(place.iterdir()) if place and place.is_dir() else ():
            if (folder / CONFIG_FILE).is_file():
                found[folder.name] = Template(folder.name, folder, _title(folder))
    return found


def find_template(name: str, own: Path | None = None) -> Template:
    """The template `name`; a name with a `/` is the folder of any group.

    Raises:
        UsageError: there is none.
    """
    known = known_templates(own)
    if name in known:
        return known[name]
    if "/" in name:
        folder = Path(name).expanduser()
        if (folder / CONFIG_FILE).is_file():
            return Template(name, folder, _title(folder))
        raise UsageError(f"{name}: no group to start from: there is no {CONFIG_FILE} in it")
    near = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"
    raise UsageError(f"no template {name!r}; {meant}")


def copy_template(template: Template, target: Path) -> tuple[Path, ...]:
    """Copy a template into `target`, which is made where it is missing.

    Returns the files that were made. Nothing is ever overwritten: if one of the files exists,
    nothing is written at all.

    Raises:
        UsageError: `target` is a file or lies in the template, or files of the template exist.
    """
    source = template.folder
    if target.resolve().is_relative_to(source.resolve()):
        raise UsageError(f"{target}: lies in the template itself")
    wanted = [path.relative_to(source) for path in sorted(source.rglob("*")) if path.is_file()]
    wanted = [path for path in wanted if _is_copied(path)]
    return write_new({target / path: source / path for path in wanted}, target)


def write_new(files: Mapping[Path, Path | str], target: Path) -> tuple[Path, ...]:
    """Make files from a text, or from the file whose content and mode they get; all or none.

    Raises:
        UsageError: one of them exists, or cannot be written.
    """
    existing = [path for path in files if path.exists() or path.is_symlink()]
    if existing:
        names = "".join(f"\n  {path}" for path in existing)
        raise UsageError(f"nothing was written, because these files exist:{names}")
    made: list[Path] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as new:
                made.append(path)
                new.write(content.encode() if isinstance(content, str) else content.read_bytes())
            if isinstance(content, Path):
                shutil.copymode(content, path)
    except OSError as error:
        for path in made:  # what is half made is worse than nothing
            path.unlink(missing_ok=True)
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
    return tuple(made)


def _is_copied(path: Path) -> bool:
    return not any(part in _NOT_COPIED or part.startswith(".") for part in path.parts)


def _title(folder: Path) -> str:
    """The title that a group gives itself, or the first line where that is a comment; or ""."""
    try:
        text = (folder / CONFIG_FILE).read_text(encoding="utf-8")
        table = tomllib.loads(text).get("Configs")
    except (OSError, ValueError):
        return ""
    title = table.get("title") if isinstance(table, dict) else None
    if isinstance(title, str):
        return title
    first = text.partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""
