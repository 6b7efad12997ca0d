"""Files and ports for tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testrium.testing.places import keep, unit_folder, unused


def write_file(path: str | os.PathLike[str], text: str, *, executable: bool = False) -> Path:
    """Write a text; folders on the way are made. Returns the path."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    if executable:
        target.chmod(0o755)
    return target


def copy(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
    """Copy a file, or a folder with all that is in it.

    A target that is a folder, or ends with `/`, gets it under its own name; folders on the way are
    made. Returns where it is now.
    """
    origin, goal = Path(source), Path(target)
    if goal.is_dir() or os.fspath(target).endswith(os.sep):
        goal /= origin.name
    goal.parent.mkdir(parents=True, exist_ok=True)
    if origin.is_dir():
        shutil.copytree(origin, goal, dirs_exist_ok=True)
    else:
        shutil.copy2(origin, goal)
    return goal


def fill_template(
    source: str | os.PathLike[str], target: str | os.PathLike[str], **values: object
) -> Path:
    """Copy a text file with every `${name}` replaced by its value, and `$$` by `$`.

    Raises:
        VariableError: a name has no value; nothing is written then.
    """
    from testrium.variables import substitute

    text = Path(source).read_text(encoding="utf-8")
    return write_file(target, substitute(text, lambda name: str(values[name])))


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Unpack a .zip, .tar, .tar.gz, .tar.xz or .tar.bz2; what would leave the folder is refused.

    Returns the folder.
    """
    goal = Path(folder)
    goal.mkdir(parents=True, exist_ok=True)
    if tarfile.is_tarfile(archive):
        with tarfile.open(archive) as tar:
            tar.extractall(goal, filter="data")
    else:
        shutil.unpack_archive(archive, goal)
    return goal


@contextmanager
def work_folder(name: str = "work") -> Iterator[Path]:
    """A new, empty folder, which is removed at the end, and kept if the block raises.

    It lies in the unit's folder of the run; outside of a run it is a temporary one.
    """
    folder = unused(unit_folder(), name)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    except BaseException as error:
        keep(folder)
        error.add_note(f"its files are kept in {folder}")
        raise
    shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A TCP port on which nobody listens."""
    return free_ports(1)[0]


def free_ports(count: int) -> tuple[int, ...]:
    """Such ports, none twice. No other run on this machine gets them while this process lives."""
    from testrium.run.ports import PortAllocator

    lease = PortAllocator().allocate(count)
    atexit.register(lease.release)
    return lease.ports
