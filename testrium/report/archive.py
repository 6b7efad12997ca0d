"""Runs as one ZIP file, masked as reports are, to be looked at on another machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path, PurePosixPath

from testrium.errors import UsageError
from testrium.report.json_report import RUN_FILE, render
from testrium.report.masking import Mask, mask_of
from testrium.report.writer import ReportChoice, Writer
from testrium.results import RunResult
from testrium.system.files import decoded, read_regular, replacing
from testrium.variables import map_texts
from testrium.words import BAD_VERDICTS

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
    if file.exists() and not file.is_file():
        raise UsageError(f"{file} is not an archive of a run: it is not a regular file")
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


#: What a run stores of its groups in SQLite.
_DATABASE_SUFFIX = ".db"

#: Columns that name what the group declares: without them nothing could be judged again.
_NAMES = frozenset(
    {"Unit", "StepCompleted", "EventType", "Domain", "Owner", "Name", "Path", "State", "Status"}
)


class ArchiveWriter(Writer):
    """Packs the run's report and the folders of what did not pass, of `everything` if so asked.

    Raises UsageError where the target cannot name an archive.
    """

    def __init__(self, choice: ReportChoice, cwd: Path, *, everything: bool) -> None:
        super().__init__(choice.target, cwd)
        self._everything = everything
        if choice.on_stdout or not str(choice.target).endswith(".zip"):
            raise UsageError(f"{choice.option}: {choice.target!r} must be a file NAME.zip")

    def run_ended(self, result: RunResult) -> None:
        """Write the archive; a run that was not started has none. Raises InfraError."""
        if result.folder is None:
            return
        folders = [
            group.run_dir
            for group in result.groups
            if group.run_dir is not None and (self._everything or group.verdict in BAD_VERDICTS)
        ]
        assert self.target is not None
        content = _MaskedContent(result)
        write_archive(result.folder, folders, self.cwd / self.target, content.of)


class _MaskedContent:
    """What an archive holds in place of files with masked content."""

    def __init__(self, result: RunResult) -> None:
        masks: Mapping[Path, Mask] = {
            group.run_dir: mask_of(group.scenario)
            for group in result.groups
            if group.run_dir is not None
        }
        self._masks = {folder: mask for folder, mask in masks.items() if mask}
        self._encodings = {
            group.run_dir / "units" / unit.name: unit.encoding
            for group in result.groups
            if group.run_dir is not None
            for unit in group.scenario.units
        }
        self._result = result

    def of(self, path: Path) -> bytes | None:
        """The content for a file; None: as it is. Raises OSError."""
        if not self._masks:
            return None
        assert self._result.folder is not None
        if path == self._result.folder / RUN_FILE:  # the result is masked already
            return render(self._result).encode()
        mask = next((self._masks[above] for above in path.parents if above in self._masks), None)
        if mask is None:
            return None
        if path.suffix == _DATABASE_SUFFIX:
            return _masked_database(path, mask)
        with read_regular(path) as file:
            data = file.read()
        encoding = self._encodings.get(path.parent, "utf-8") if path.suffix == ".log" else "utf-8"
        if encoding != "utf-8":
            text = _masked_text(decoded(data, encoding), mask)
            return text.encode(encoding, errors="backslashreplace")
        text = data.decode(errors="surrogateescape")
        return _masked_text(text, mask).encode(errors="surrogateescape")


def _masked_text(text: str, mask: Mask) -> str:
    """Each line masked; of lines of JSON their texts, so they stay JSON."""
    return "\n".join(_masked_line(line, mask) for line in text.split("\n"))


def _masked_line(line: str, mask: Mask) -> str:
    if line.startswith(("{", "[")):
        try:
            return json.dumps(map_texts(json.loads(line), mask.text, mask.name))
        except (ValueError, RecursionError):
            pass
    return mask.text(line)


def _masked_database(path: Path, mask: Mask) -> bytes:
    """A copy of a store without what is masked. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="testrium-masked-") as place:
        copy = Path(place) / "copy.db"
        try:
            with (
                closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
                target.create_function(
                    "masked", 1, lambda text: _masked_line(text, mask), deterministic=True
                )
                target.create_function("renamed", 1, mask.name, deterministic=True)
                _mask_tables(target)
        except sqlite3.Error as error:
            raise OSError(f"{path.name} cannot be masked: {error}") from error
        return copy.read_bytes()


def _mask_tables(database: sqlite3.Connection) -> None:
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        if table.startswith("sqlite_"):
            continue
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
        for column in columns:
            change = "renamed" if column in _NAMES else "masked"
            database.execute(
                f'UPDATE "{table}" SET "{column}" = {change}("{column}")'  # noqa: S608
                f" WHERE typeof(\"{column}\") = 'text'"
            )
    database.commit()
    database.execute("VACUUM")  # what was masked is in no free page
