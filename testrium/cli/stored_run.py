"""RUN on the command line: the beginning of a run's id, or an archive of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from testrium.errors import TestriumError
from testrium.model import GroupResult, RunResult


def is_archive(run: str) -> bool:
    """Whether the user names an archive."""
    return run.endswith(".zip")


def as_shown(run: str, cwd: Path, result: RunResult) -> RunResult:
    """The result as reports tell of it, as long as `run_folder` is open.

    Folders of an archived run are called what they are in it: what was unpacked is gone when the
    report is read. A group whose folder was not packed has none.
    """
    if not is_archive(run) or result.folder is None:
        return result
    archived = (cwd / run).resolve() / result.folder.name
    groups = tuple(_archived(group, result.folder, archived) for group in result.groups)
    return result._replace(groups=groups, folder=archived)


def _archived(group: GroupResult, unpacked: Path, archived: Path) -> GroupResult:
    place = group.run_dir
    if place is None or not place.is_dir():
        return group._replace(run_dir=None)
    return group._replace(run_dir=archived / place.relative_to(unpacked), unpacked=place)


@contextlib.contextmanager
def run_folder(run: str, cwd: Path) -> Iterator[Path]:
    """The folder of the run that the user names; of the last one for "".

    That of an archive (a file.zip) is gone when the context is left, and errors name the archive.
    Raises UsageError.
    """
    if is_archive(run):
        from testrium.record.archive import unpacked

        with unpacked(cwd / run) as folder:
            try:
                yield folder
            except TestriumError as error:
                error.args = (str(error).replace(str(folder.parent), run),)
                raise
        return
    from testrium.record.runs import find_run
    from testrium.session import state_folder

    yield find_run(state_folder(cwd), run)
