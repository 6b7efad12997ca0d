"""Runs as one ZIP file, to be looked at on another machine.

It holds the run's folder as it was, below the run's id. What is in such a file is not trusted: it
comes from a build server, or by mail.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from testrium.errors import UsageError
from testrium.system.files import replacing

#: What an archive may unpack to, at most: more is taken for a bomb.
MOST_BYTES = 2_000_000_000
MOST_FILES = 100_000

_MODE = 0o600

#: Those that `write_archive` makes: each other one has errors of its own when it is damaged.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def write_archive(
    run_folder: Path,
    group_folders: Iterable[Path],
    file: Path,
    content: Callable[[Path], bytes | None] = lambda _: None,
) -> None:
    """Write the files of a run's folder itself and of these groups' folders below it.

    Links, sockets and the like are left out, and files whose names a reader would not take.
    `content` gives what stands in the place of a file; None: the file as it is.
    Raises InfraError where the file cannot be written.
    """
    with (
        replacing(file) as target,
        zipfile.ZipFile(
            target, "w", zipfile.ZIP_DEFLATED, compresslevel=6, strict_timestamps=False
        ) as archive,
    ):
        for path in _files(run_folder, group_folders):
            name = f"{run_folder.name}/{path.relative_to(run_folder).as_posix()}"
            if _is_plain(path) and _is_harmless(name):
                changed = content(path)
                if changed is None:
                    archive.write(path, name)
                else:
                    archive.writestr(name, changed)


@contextlib.contextmanager
def unpacked(file: Path) -> Iterator[Path]:
    """The folder of the run in an archive, unpacked where only its owner may look; then removed.

    Raises UsageError where it is not an archive of a run, or one that is not to be trusted.
    """
    # The place itself is 0700, whatever is in it.
    with tempfile.TemporaryDirectory(prefix="testrium-archive-") as place:
        try:
            with zipfile.ZipFile(file) as archive:
                run = _run_of(file, archive)
                for entry in archive.infolist():
                    _unpack(archive, entry, Path(place))
        except (OSError, EOFError, RuntimeError, ValueError, NotImplementedError) as error:
            # RuntimeError: it is encrypted. NotImplementedError: compressed in a way of its own.
            reason = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"{file} cannot be read: {reason or error}") from error
        except (zipfile.BadZipFile, zlib.error) as error:
            raise UsageError(f"{file} is not an archive of a run: {error}") from error
        yield Path(place) / run


def _files(run_folder: Path, group_folders: Iterable[Path]) -> list[Path]:
    """Each once: the folder of a group may lie in that of another one."""
    own = (path for path in run_folder.iterdir() if not path.name.startswith("."))
    files = {path for path in own if not path.is_dir()}
    for folder in group_folders:
        files.update(folder.rglob("*"))
    return sorted(files)


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _is_harmless(name: str) -> bool:
    """Whether a name leads nowhere but below the folder into which is unpacked."""
    path = PurePosixPath(name)
    odd = path.is_absolute() or ".." in path.parts or "\\" in name
    return not odd and name.isprintable()


def _run_of(file: Path, archive: zipfile.ZipFile) -> str:
    """The id of the run: the one folder in which all is. Raises UsageError for what is not ours."""
    entries = archive.infolist()
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
        raise UsageError(
            f"{file} exceeds the unpack limit of {MOST_FILES} files or {MOST_BYTES} bytes; not"
            " opened"
        )
    for entry in entries:
        # ZIP keeps the type of a file in the upper half of the attributes; 0 is none.
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not _is_harmless(entry.filename) or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise UsageError(
                f"{file} is not an archive of a run: {entry.filename!r} is not allowed"
            )
        if entry.compress_type not in _COMPRESSIONS:
            raise UsageError(f"{file} is not an archive of a run: it is compressed in another way")
    tops = {PurePosixPath(entry.filename).parts[:1] for entry in entries}
    if len(tops) != 1 or () in tops:
        raise UsageError(
            f"{file} is not an archive of a run: expected exactly one top-level folder"
        )
    ((run,),) = tops
    return run


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path) -> None:
    """Write one file. A size that its head denies is never reached: reading ends there."""
    path = place / entry.filename
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(descriptor, "wb") as target, archive.open(entry) as source:
        shutil.copyfileobj(source, target)
