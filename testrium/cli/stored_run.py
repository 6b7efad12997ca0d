"""RUN on the command line: the beginning of a run's id, or an archive of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from testrium.model import RunResult


def is_archive(run: str) -> bool:
    """Whether the user names an archive."""
    return run.endswith(".zip")


def as_shown(run: str, result: RunResult) -> RunResult:
    """The result as a report of it can be read: what was unpacked is gone by then."""
    if not is_archive(run):
        return result
    groups = tuple(group._replace(run_dir=None) for group in result.groups)
    return result._replace(groups=groups, folder=None)


@contextlib.contextmanager
def run_folder(run: str, cwd: Path) -> Iterator[Path]:
    """The folder of the run that the user names; of the last one for "".

    That of an archive (a file.zip) is gone when the context is left. Raises UsageError.
    """
    if is_archive(run):
        from testrium.record.archive import unpacked

        with unpacked(cwd / run) as folder:
            yield folder
        return
    from testrium.record.runs import find_run
    from testrium.session import state_folder

    yield find_run(state_folder(cwd), run)
