"""Files, folders and ports for tests."""

from __future__ import annotations

import atexit
import bz2
import contextlib
import gzip
import json
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from testrium.errors import TestriumError
from testrium.phrases import did_you_mean
from testrium.probe import environment as names


class UnpackError(TestriumError, ValueError):
    """An archive cannot be read, or holds something that would leave its folder."""

    __module__ = "testrium.testing"


def run_dir() -> Path | None:
    """The folder of the group's run; None outside of a run."""
    folder = os.environ.get(names.RUN_DIR)
    return Path(folder) if folder else None


def unit_folder() -> Path:
    """The unit's own folder in the run; outside of a run a temporary one for this process."""
    run = run_dir()
    if run is None:
        return _temporary()
    folder = run / "units" / os.environ.get(names.UNIT, "tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep_attachment(path: str | os.PathLike[str], test: str) -> str:
    """Copy a file into the run's folder; its place below that. See `testing.attach`."""
    run = run_dir()
    if run is None:
        raise RuntimeError("attach() keeps a file in the folder of a run: there is none")
    source = Path(path)
    folder = run / "attachments" / test
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / source.name, 1
    while target.exists():
        number += 1
        target = folder / f"{source.stem}~{number}{source.suffix}"
    shutil.copyfile(source, target)
    return target.relative_to(run).as_posix()


def is_unit(name: object) -> bool:
    """Whether a text is the name of a unit of this run, and not the path of a file."""
    run = run_dir()
    if not isinstance(name, str) or not name or "/" in name or os.sep in name:
        return False
    return run is not None and (run / "units" / name).is_dir()


def unit_logs(unit: str) -> dict[str, Path]:
    """The files that hold the output of a unit of this run. Raises ValueError, RuntimeError."""
    run = run_dir()
    if run is None:
        raise RuntimeError(f"{unit!r}: outside of a run this must be a file, and it does not exist")
    folder = run / "units" / unit
    if not folder.is_dir():
        hint = _nearest_unit(unit)
        raise ValueError(f"this run has no unit {unit!r}, and no file of this name{hint}")
    return {"stdout": folder / "stdout.log", "stderr": folder / "stderr.log"}


def check_encoding(name: str) -> None:
    """Raise ValueError where Python knows no encoding of texts by this name."""
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(f"unknown encoding {name!r}: give a name such as 'latin-1'") from None


def unit_encoding(unit: str) -> str:
    """The encoding of the output of a unit of this run, as it is declared."""
    declared = (line.partition("=") for line in os.environ.get(names.ENCODINGS, "").splitlines())
    return next((encoding for name, _, encoding in declared if name == unit), "utf-8")


def check_unit(unit: str) -> None:
    """Raise ValueError where there is a run, and it has no such unit: it would never be seen."""
    run = run_dir()
    if run is not None and (run / "units").is_dir() and not (run / "units" / unit).is_dir():
        raise ValueError(f"this run has no unit {unit!r}{_nearest_unit(unit)}")


def emitted_steps(unit: str) -> list[str]:
    """The steps that a unit of this run has emitted so far, each once."""
    run = run_dir()
    files = [] if run is None else sorted((run / "units" / unit).glob("probes-*.jsonl"))
    steps: dict[str, None] = {}
    for file in files:
        for line in file.read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                steps[str(json.loads(line)["step"])] = None
    return list(steps)


def _nearest_unit(unit: str) -> str:
    run = run_dir()
    names = [] if run is None else [folder.name for folder in (run / "units").iterdir()]
    return did_you_mean(unit, names)


def unused(folder: Path, name: str) -> Path:
    """A path below `folder` that does not exist: `name`, else `name-2`, `name-3`, ..."""
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}"
    return path


def keep(folder: Path) -> None:
    """Do not remove this folder with the temporary one that it lies in."""
    _kept.add(folder)


#: Folders that stay because something went wrong.
_kept: set[Path] = set()


@cache
def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix=f"testrium-{os.environ.get(names.RUN, 'alone')}-"))
    atexit.register(_tidy, folder, os.getpid())
    return folder


def _tidy(folder: Path, owner: int) -> None:
    """Remove the temporary folder, but for what is kept; a forked child leaves it alone."""
    if os.getpid() != owner:
        return
    for entry in folder.iterdir():
        if entry not in _kept:
            shutil.rmtree(entry, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


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


#: What packs a single file, by the end of its name: `access.log.gz` holds `access.log`.
_SINGLE: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".xz": lzma.LZMAFile,
    ".bz2": bz2.BZ2File,
}


def unpack(archive: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Unpack a .zip or .tar (packed as .gz, .xz or .bz2 too), or a single file: .gz, .xz, .bz2.

    Returns the folder.

    Raises:
        UnpackError: it is not such an archive, or something in it would leave the folder; then a
            zip is not unpacked at all.
    """
    source, goal = Path(archive), Path(folder)
    goal.mkdir(parents=True, exist_ok=True)
    try:
        _unpack(source, goal)
    except tarfile.FilterError as error:
        raise UnpackError(f"{source} is refused: {error}") from error
    except (tarfile.ReadError, zipfile.BadZipFile, EOFError) as error:
        raise UnpackError(f"{source} cannot be unpacked: {error}") from error
    return goal


def _unpack(source: Path, goal: Path) -> None:
    if tarfile.is_tarfile(source):
        with tarfile.open(source) as tar:
            tar.extractall(goal, filter="data")
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as packed:
            # `extractall` would put such a file somewhere below the folder, in silence.
            inside = goal.resolve()
            for name in packed.namelist():
                if not (inside / name).resolve().is_relative_to(inside):
                    raise UnpackError(
                        f"{source} is refused: {name!r} would be extracted to"
                        f" {(inside / name).resolve()}, which is outside of the folder"
                    )
            packed.extractall(goal)  # noqa: S202 - every name was looked at
    elif source.suffix in _SINGLE:
        _unpack_single(source, goal / source.stem)
    else:
        raise UnpackError(f"{source} cannot be unpacked: expected a .zip, .tar, .gz, .xz or .bz2")


def _unpack_single(source: Path, target: Path) -> None:
    try:
        with _SINGLE[source.suffix](source) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (OSError, lzma.LZMAError) as error:
        raise UnpackError(f"{source} cannot be unpacked: {error}") from error


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
    """A free TCP port."""
    return free_ports(1)[0]


def free_ports(count: int) -> tuple[int, ...]:
    """Such ports, none twice. No other run on this machine gets them while this process lives."""
    from testrium.run.ports import PortAllocator

    lease = PortAllocator().allocate(count)
    atexit.register(lease.release)
    return lease.ports
