"""Where the groups are: the folders below the PATHs of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from testrium.errors import UsageError
from testrium.load.document import Complaints, shown_path

CONFIG_FILE = "config.toml"
UNITS_FOLDER = "units"

_NOT_SEARCHED = frozenset({"__pycache__", "node_modules"})
_WILDCARD = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """A group's folder and its id."""

    id: str
    folder: Path


def find_groups(
    paths: Sequence[Path], cwd: Path, complaints: Complaints, spared: Path | None = None
) -> tuple[Found, ...]:
    """The groups under `paths`, in sorted id order; a folder found twice counts once.

    A folder with unit files and no config.toml is noted as a problem.

    Args:
        paths: groups, or folders that are searched at any depth; relative ones are below `cwd`.
            What does not exist may be a shell pattern (`shop/*`, `**/smoke`): it stands for the
            folders that match, whose ids begin below the part without wildcards.
        cwd: the current folder.
        complaints: where problems are noted.
        spared: a folder that is not searched, but for a path in it: the project's templates.

    Raises:
        UsageError: a path does not exist or is no folder, a pattern matches none, or two groups
            have the same id.
    """
    by_folder: dict[Path, Found] = {}
    by_id: dict[str, Found] = {}
    spared = spared and spared.resolve()
    for path in paths:
        root, starts = _starts(path, cwd)
        seen: set[Path] = set()
        if spared and not any(start.is_relative_to(spared) for start in starts):
            seen.add(spared)
        for found in (
            each for start in starts for each in _search(start, root, seen, complaints, cwd)
        ):
            if found.folder in by_folder:
                continue
            other = by_id.setdefault(found.id, found)
            if other is not found:
                first, second = (shown_path(each.folder, cwd) for each in (other, found))
                raise UsageError(f"two groups have the id {found.id!r}: {first} and {second}")
            by_folder[found.folder] = found
    return tuple(sorted(by_folder.values()))


def _starts(path: Path, cwd: Path) -> tuple[Path, list[Path]]:
    """The folder below which ids begin, and where to search below it."""
    root = (cwd / path).resolve()
    if root.is_dir():
        return root, [root]
    if root.exists():
        raise UsageError(f"{path}: is a file; give the group's folder")
    if not _WILDCARD.search(str(path)):
        raise UsageError(f"{path}: no such folder")
    import glob

    plain = next(number for number, part in enumerate(path.parts) if _WILDCARD.search(part))
    root = cwd.joinpath(*path.parts[:plain]).resolve()
    pattern = str(Path(*path.parts[plain:]))
    names = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 - spares hidden ones
    matches = [root / name for name in sorted(names)]
    folders = [each for each in matches if each.is_dir() and _may_be_searched(each, root)]
    if not folders:
        raise UsageError(f"{path}: no folder matches")
    return root, folders


def _may_be_searched(folder: Path, root: Path) -> bool:
    """Whether a search from `root` could come to the folder."""
    while folder != root:
        if not _is_searched(folder) or _is_group(folder.parent):
            return False
        folder = folder.parent
    return True


def _is_group(folder: Path) -> bool:
    return (folder / CONFIG_FILE).is_file() and (folder / UNITS_FOLDER).is_dir()


def _is_searched(folder: Path) -> bool:
    return (
        folder.name not in _NOT_SEARCHED
        and folder.is_dir()
        and not (folder / "pyvenv.cfg").is_file()
    )


def _search(
    folder: Path, root: Path, seen: set[Path], complaints: Complaints, cwd: Path
) -> Iterator[Found]:
    real = folder.resolve()
    if real in seen:  # a symbolic link that leads back
        return
    seen.add(real)
    units = folder / UNITS_FOLDER
    if units.is_dir():
        config = folder / CONFIG_FILE
        if config.is_file():
            yield Found(
                folder.name if folder == root else folder.relative_to(root).as_posix(), real
            )
            return
        if any(units.glob("*.toml")):
            complaints.problem(
                shown_path(config, cwd), None, "", f"is missing beside {UNITS_FOLDER}/*.toml"
            )
            return
    for child in sorted(_searched_children(folder)):
        yield from _search(child, root, seen, complaints, cwd)


def _searched_children(folder: Path) -> Iterator[Path]:
    try:
        children = list(folder.iterdir())
    except PermissionError:
        return  # as find does: what cannot be listed holds no group that could be run
    for child in children:
        if not child.name.startswith(".") and _is_searched(child):
            yield child
