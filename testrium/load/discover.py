"""Where the groups are: the folders below the PATHs of the command line."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testrium.declared.keys import toml_tables
from testrium.errors import UsageError
from testrium.load.document import ProblemCollector, shown_path
from testrium.load.project import FILE_NAME, Project
from testrium.phrases import did_you_mean, nearest_word
from testrium.tuples import NamedTuple

if TYPE_CHECKING:
    from pathspec import PathSpec, Pattern

CONFIG_FILE = "config.toml"
UNITS_FOLDER = "units"
IGNORE_FILE = ".testriumignore"

NOT_SEARCHED = frozenset({"__pycache__", "node_modules"})
_WILDCARD = r"[*?[]"
#: `FROM..TO`, of which one may be left out. No part of a path: `..` has no name beside it there.
_RANGE = r"(?P<first>|.*[^/.])\.\.(?P<last>|[^/.].*)"
#: The id of a result of a matrix, as reports show it: `checkout[browser=a,size=1]`.
_COMBINATION = r"(?P<group>.+)(?P<suffix>\[[^\[\]=/]+=[^\[\]]*\])"


class Found(NamedTuple):
    """A group's folder and its id; `only` are the combinations of its matrix that are wanted.

    They are named by what they add to the id, `[size=1]`; () means all. The group was found
    in a search from `root`.
    """

    id: str
    folder: Path
    only: tuple[str, ...] = ()
    root: Path = Path()


class IgnoreFiles:
    """The `.testriumignore` files of a search, each read once: lines as in gitignore(5).

    Args:
        top: the highest folder whose file counts.
        cwd: what file names in messages are relative to.
        collector: where files that cannot be read are noted.
    """

    def __init__(self, top: Path, cwd: Path, collector: ProblemCollector) -> None:
        self._top = top
        self._cwd = cwd
        self._collector = collector
        self._specs: dict[Path, PathSpec[Pattern] | None] = {}

    def ignores(self, folder: Path, root: Path) -> bool:
        """Whether the files above say so of this very folder; outside of `top` from `root` on.

        The last line that matches decides; a file further down comes after one above.
        """
        ignored = False
        top = self._top if folder.is_relative_to(self._top) else root
        for above in reversed(folder.parents[: len(folder.relative_to(top).parts)]):
            spec = self._spec_of(above)
            if spec is not None:
                found = spec.check_file(f"{folder.relative_to(above).as_posix()}/")
                if found.include is not None:
                    ignored = found.include
        return ignored

    def _spec_of(self, folder: Path) -> PathSpec[Pattern] | None:
        if folder not in self._specs:
            self._specs[folder] = self._read(folder / IGNORE_FILE)
        return self._specs[folder]

    def _read(self, file: Path) -> PathSpec[Pattern] | None:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
            shown = shown_path(file, self._cwd)
            self._collector.problem(shown, None, "", f"cannot be read: {why}")
            return None
        from pathspec import PathSpec  # 10 ms, and few projects have such files

        try:
            return PathSpec.from_lines("gitignore", text.splitlines())
        except ValueError as error:
            shown = shown_path(file, self._cwd)
            self._collector.problem(shown, None, "", f"invalid pattern: {error}")
            return None


class Search:
    """How folders are searched.

    `top` is the highest folder whose `.testriumignore` counts; with None none does. `spared` is a
    folder that is not searched but for a path in it: the project's templates.
    """

    def __init__(
        self, cwd: Path, collector: ProblemCollector, top: Path | None, spared: Path | None = None
    ) -> None:
        self.cwd = cwd
        self.collector = collector
        self.spared = spared
        self.home = top or cwd
        #: What the project file says of `subgroups`, for groups that do not say it.
        self.subgroups = False
        #: Tells by id and folder which groups will not be run, so no mistake there counts.
        self.left_out: Callable[[str, Path], bool] = lambda *_: False
        self._ignore_files = None if top is None else IgnoreFiles(top, cwd, collector)
        self._ignored: list[Path] = []
        self._without_units: list[Path] = []

    @classmethod
    def of(cls, cwd: Path, project: Project, collector: ProblemCollector) -> Search:
        """A search as a project wants it."""
        top = project.file.parent if project.file else cwd
        search = cls(cwd, collector, top, project.templates and project.templates.resolve())
        said = project.configs.get("subgroups")
        search.subgroups = said is not None and said.raw is True
        return search

    def id_of(self, folder: Path, root: Path) -> str:
        """The path below the project folder; of a group outside of it, below `root`.

        So the history and the printed commands speak of one group by one name.
        """
        if folder != self.home and folder.is_relative_to(self.home):
            return folder.relative_to(self.home).as_posix()
        if folder in (self.home, root):
            return folder.name
        return folder.relative_to(root).as_posix()

    def below(self, root: Path, starts: Sequence[Path]) -> Iterator[Found]:
        """The groups in `starts` and below; ids begin below `root`. A link is followed once."""
        seen: set[Path] = set()
        if self.spared and not any(start.is_relative_to(self.spared) for start in starts):
            seen.add(self.spared)
        for start in starts:
            yield from self._search(start, root, seen)

    def may_come_to(self, folder: Path, root: Path) -> bool:
        """Whether a search from `root` could reach the folder."""
        while folder != root:
            if not self._is_searched(folder, root) or is_group(folder.parent):
                return False
            folder = folder.parent
        return True

    def ignored_groups(self) -> int:
        """How many groups were not found so far because of `.testriumignore` files."""
        search = Search(self.cwd, ProblemCollector(), None, self.spared)
        found = (each for folder in self._ignored for each in search.below(folder, [folder]))
        return len({each.folder for each in found})

    def why_nothing(self, roots: Sequence[Path]) -> str:
        """What is wrong where no group was found, and what to do."""
        if self._without_units:
            config = shown_path(self._without_units[0] / CONFIG_FILE, self.cwd)
            return (
                f"{config} has no folder {UNITS_FOLDER}/ beside it: make one, with a file"
                f" {UNITS_FOLDER}/NAME.toml for each unit (testrium gen unit NAME)"
            )
        for root in roots:
            inside = (self.cwd / root).resolve()
            for folder in (inside, *inside.parents):
                if is_group(folder):
                    group = os.path.relpath(folder, self.cwd)
                    return (
                        f"{shown_path(inside, self.cwd)} lies inside the group {folder.name!r}:"
                        f" run the group with testrium run {shlex.quote(group)}"
                    )
        return (
            f"a group is a folder with {CONFIG_FILE} and {UNITS_FOLDER}/*.toml"
            " (make one with: testrium init, or testrium gen config-template PATH)"
        )

    def _search(self, folder: Path, root: Path, seen: set[Path]) -> Iterator[Found]:
        real = folder.resolve()
        if real in seen:  # a symbolic link that leads back
            return
        seen.add(real)
        try:
            # Behind a link it is called as without it, so it has one name; but not where
            # that would be the name of a place outside of the project.
            named = real if real.is_relative_to(self.home) else folder
            if is_group(folder):
                yield Found(self.id_of(named, root), real, root=root)
                yield from self._inside(folder, root, seen)
                return
            if self._has_units_alone(folder):
                id_ = self.id_of(named, root)
                if self.left_out(id_, folder):
                    yield Found(id_, real, root=root)
                else:
                    self._report(folder)
                return
            if "Configs" in _tables(folder / CONFIG_FILE):  # it is not that of some other program
                self._without_units.append(folder)
            children = [child for child in folder.iterdir() if not child.name.startswith(".")]
        except PermissionError as error:
            if folder == root:
                raise UsageError(f"{folder}: cannot be read: {error.strerror}") from error
            return  # as find does: what cannot be listed holds no group that could be run
        for child in sorted(children):
            if self._is_searched(child, root):
                yield from self._search(child, root, seen)

    def _inside(self, group: Path, root: Path, seen: set[Path]) -> Iterator[Found]:
        """The groups inside a group; where it does not say that there are some, mistakes."""
        inner = []
        for child in sorted(group.iterdir()):
            if not child.name.startswith(".") and self._is_searched(child, root):
                inner += list(self._search(child, root, seen))
        undeclared = [each for each in inner if not self.left_out(each.id, each.folder)]
        if undeclared and not self._has_subgroups(group, root):
            name = group.name if group == self.cwd else shown_path(group, self.cwd)
            outer = shown_path(group / CONFIG_FILE, self.cwd)
            for found in undeclared:
                self.collector.problem(
                    shown_path(found.folder / CONFIG_FILE, self.cwd),
                    None,
                    "",
                    f"is a group inside the group {name}: set subgroups = true in {outer},"
                    " or move one of them",
                )
            return
        yield from inner

    def _has_subgroups(self, group: Path, root: Path) -> bool:
        """Whether its config.toml says so, or else the nearest defaults.

        What is wrong with these files is reported when they are loaded.
        """
        top = self.home if group.is_relative_to(self.home) else root
        above = group.parents[: len(group.relative_to(top).parts)]
        files = [group / CONFIG_FILE, *(folder / FILE_NAME for folder in (group, *above))]
        said = (_subgroups_said(file) for file in files)
        return next((each for each in said if each is not None), self.subgroups)

    def _has_units_alone(self, folder: Path) -> bool:
        """Whether this should be a group and has no config.toml."""
        units = folder / UNITS_FOLDER
        return units.is_dir() and any(units.glob("*.toml"))

    def _report(self, folder: Path) -> None:
        config = folder / CONFIG_FILE
        reason = (
            f"is not a file, which {UNITS_FOLDER}/*.toml beside it needs"
            if config.exists()
            else f"is missing beside {UNITS_FOLDER}/*.toml: write it, or take the folder away"
        )
        self.collector.problem(shown_path(config, self.cwd), None, "", reason)

    def _is_searched(self, folder: Path, root: Path) -> bool:
        try:
            return (
                folder.name not in NOT_SEARCHED
                and folder.is_dir()
                and not (folder / "pyvenv.cfg").is_file()
                and not self._is_ignored(folder, root)
            )
        except PermissionError:
            return False

    def _is_ignored(self, folder: Path, root: Path) -> bool:
        ignored = self._ignore_files is not None and self._ignore_files.ignores(folder, root)
        if ignored:
            self._ignored.append(folder)
        return ignored


def find_groups(paths: Sequence[Path], search: Search) -> tuple[Found, ...]:
    """The groups under `paths`, in sorted id order; a folder found twice counts once.

    A folder with unit files and no config.toml is noted as a problem.

    Args:
        paths: groups, or folders that are searched at any depth; relative ones are below the
            current folder. What does not exist may be a shell pattern (`shop/*`, `**/smoke`): it
            means the folders that match, whose ids begin below the part without wildcards; or
            a range of ids (`cart..search`) below the current folder; or one combination of a
            matrix (`cart[size=1]`).
        search: how folders are searched.

    Raises:
        UsageError: a path does not exist or is not a folder, a pattern matches none, a range is
            invalid, or two groups have the same id.
    """
    by_folder: dict[Path, Found] = {}
    by_id: dict[str, Found] = {}
    for path in paths:
        for found in _named(path, search):
            if known := by_folder.get(found.folder):
                only = known.only + found.only if known.only and found.only else ()
                by_folder[found.folder] = known._replace(only=only)
                continue
            other = by_id.setdefault(found.id, found)
            if other is not found:
                first, second = (shown_path(each.folder, search.cwd) for each in (other, found))
                raise UsageError(f"two groups have the id {found.id!r}: {first} and {second}")
            by_folder[found.folder] = found
    return tuple(sorted(by_folder.values()))


def _named(path: Path, search: Search) -> Iterator[Found]:
    """The groups that one argument names."""
    root = (search.cwd / path).resolve()
    given = Path(os.path.abspath(search.cwd / path))  # noqa: PTH100 - links are kept
    if given.is_relative_to(search.home) and not root.is_relative_to(search.home):
        root = given  # a link that leads out of the project is a name in it
    try:
        if not root.exists() and (below := (search.home / path).resolve()).is_dir():
            root = below  # an id, which counts from the project folder
        if root.is_dir():
            yield from search.below(root, [root])
            return
        exists = root.exists()
    except PermissionError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except OSError as error:  # a name that is too long, or no name at all
        raise UsageError(f"{path}: no such folder: {error.strerror}") from error
    if exists:
        raise UsageError(f"{path}: is a file; give the group's folder")
    text = str(path)
    if match := re.fullmatch(_COMBINATION, text):
        folder = (search.cwd / match["group"]).resolve()
        if not folder.exists():
            folder = (search.home / match["group"]).resolve()
        if is_group(folder):
            yield Found(search.id_of(folder, folder), folder, (match["suffix"],), folder)
            return
    if match := re.fullmatch(_RANGE, text):
        yield from _range(text, match["first"], match["last"], search)
    elif re.search(_WILDCARD, text):
        yield from search.below(*_matches(path, search))
    else:
        everything = _everything(search)
        near = _nearest_id(text, everything) or _nearest_folder(path, root, everything)
        raise UsageError(f"{path}: no such folder{near}")


def _matches(path: Path, search: Search) -> tuple[Path, list[Path]]:
    """The folder below which ids begin, and the folders that a shell pattern matches."""
    import glob

    plain = next(number for number, part in enumerate(path.parts) if re.search(_WILDCARD, part))
    root = search.cwd.joinpath(*path.parts[:plain]).resolve()
    pattern = str(Path(*path.parts[plain:]))
    names = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 - spares hidden ones
    matches = [root / name for name in sorted(names)]
    folders = [each for each in matches if each.is_dir() and search.may_come_to(each, root)]
    if not folders:
        raise UsageError(f"{path}: no folder matches")
    return root, folders


def _everything(search: Search) -> list[Found]:
    """All groups below the current folder, in the order of their ids."""
    return sorted(search.below(search.cwd, [search.cwd]))


def _range(text: str, first: str, last: str, search: Search) -> list[Found]:
    """The groups from one id to another, both included."""
    everything = _everything(search)
    ids = [found.id for found in everything]
    ends = []
    here = "" if search.cwd == search.home else search.id_of(search.cwd, search.cwd)
    for end in (first, last):
        if end and end not in ids and f"{here}/{end}" in ids:
            end = f"{here}/{end}"  # noqa: PLW2901 - as it is called from here
        if end and end not in ids:
            near = _nearest_id(end, everything)
            raise UsageError(f"{text}: no such folder, and no range: no group {end!r}{near}")
        ends.append(end)
    start = ids.index(ends[0]) if first else 0
    stop = ids.index(ends[1]) if last else len(ids) - 1
    if start > stop:
        raise UsageError(f"{text}: {first!r} comes after {last!r} in the order of ids")
    return everything[start : stop + 1]


def _nearest_id(name: str, everything: Sequence[Found]) -> str:
    """A hint where a group is called so, or nearly so."""
    for found in everything:
        if found.folder.name == name:
            return f"; did you mean {found.id!r}?"
    return did_you_mean(name, [found.id for found in everything], 0.75)


def _nearest_folder(path: Path, missing: Path, everything: Sequence[Found]) -> str:
    """A hint where a folder of groups that lies beside the missing one has nearly its name."""
    beside = {
        folder.name
        for found in everything
        for folder in (found.folder, *found.folder.parents)
        if folder.parent == missing.parent
    }
    name = nearest_word(path.name, sorted(beside))
    return f"; did you mean {str(path.with_name(name))!r}?" if name else ""


def _subgroups_said(file: Path) -> bool | None:
    """What a config.toml or a file of defaults says of `subgroups`, if anything."""
    configs = _tables(file).get("Configs")
    said = configs.get("subgroups") if isinstance(configs, dict) else None
    return None if said is None else said is True


def _tables(file: Path) -> dict[str, Any]:
    """The tables of a file; {} where it cannot be read, which is reported when it is loaded."""
    try:
        return toml_tables(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}


def is_group(folder: Path) -> bool:
    """Whether the folder holds a group."""
    return (folder / CONFIG_FILE).is_file() and (folder / UNITS_FOLDER).is_dir()
