"""From files to groups: everything that a user declared, checked before anything starts.

All problems of all files are found at once, each with its file, line and key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from testrium.declared.groups import Group
from testrium.errors import ConfigError, NoGroupsError
from testrium.load.project import Project, find_project

__all__ = ["Project", "find_project", "load_groups"]


def load_groups(
    paths: Sequence[str | Path],
    *,
    cwd: Path,
    project: Project | None = None,
    left_out: Callable[[str, Path], bool] = lambda *_: False,
) -> tuple[Group, ...]:
    """The groups under `paths`, in sorted id order.

    Args:
        paths: groups, or folders that are searched at any depth; none means `cwd`.
        cwd: the current folder; messages name files relative to it.
        project: defaults for all groups; None looks for a project file from `cwd` upwards.
        left_out: tells by id and folder which groups will not be run: their mistakes are not
            reason not to run the others. Such a group is returned with its id and folder alone.

    Raises:
        UsageError: a path does not exist, a range is none, or two groups have the same id.
        ConfigError: something in the files is wrong; carries every problem of every group, or what
            the project lacks.
        NoGroupsError: there is none; says why.
    """
    from testrium.load.discover import Search, find_groups
    from testrium.load.document import ProblemCollector
    from testrium.load.group import LoadingInputs, load_group

    cwd = cwd.resolve()
    everything = ProblemCollector()
    project = project or find_project(cwd)
    if project.lacks:
        raise ConfigError(project.lacks)
    search = Search.of(cwd, project, everything)
    search.left_out = left_out
    found_groups = find_groups([Path(path) for path in paths] or [cwd], search)
    if not found_groups and (ignored := search.ignored_groups()):
        everything.raise_if_any()
        groups_were = "group was" if ignored == 1 else "groups were"
        raise NoGroupsError(f"no group found: {ignored} {groups_were} left out by .testriumignore")
    if not found_groups:
        everything.raise_if_any()
        roots = [Path(path) for path in paths] or [cwd]
        raise NoGroupsError(f"no group found: {search.why_nothing(roots)}")
    around = LoadingInputs.of(cwd, project)
    groups = []
    for found in found_groups:
        collector = ProblemCollector()
        group = load_group(found, around, collector)
        if collector.problems and left_out(found.id, found.folder):
            groups.append(Group(id=found.id, folder=found.folder, units=()))
            continue
        everything.add(collector)
        if group is not None:
            groups.append(group)
    everything.raise_if_any()
    return tuple(groups)
