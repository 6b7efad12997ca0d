"""`--archive`: the run's folder as one file, for another machine; masked as reports are."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from testrium.errors import UsageError
from testrium.record.archive import write_archive
from testrium.report.json_report import RUN_FILE, render
from testrium.report.masking import Mask, mask_of
from testrium.report.writer import ReportChoice, Writer
from testrium.results import RunResult
from testrium.system.files import decoded, read_regular
from testrium.variables import map_texts
from testrium.words import BAD_VERDICTS

#: What a run stores of its groups in SQLite.
_DATABASE_SUFFIX = ".db"
#: Columns that name what the group declares: without them nothing could be judged again.
_NAMES = frozenset(
    {"Unit", "StepCompleted", "EventType", "Domain", "Owner", "Name", "Path", "State", "Status"}
)


class ArchiveWriter(Writer):
    """Packs the run's report and the folders of what did not pass, of `everything` if so asked.

    Raises UsageError where the target is no name for an archive.
    """

    def __init__(self, choice: ReportChoice, cwd: Path, *, everything: bool) -> None:
        super().__init__(choice.target, cwd)
        self._everything = everything
        if choice.on_stdout or not str(choice.target).endswith(".zip"):
            raise UsageError(f"{choice.option}: {choice.target!r} must be a file NAME.zip")

    def run_ended(self, result: RunResult) -> None:
        """Write the archive; of a run that was not started there is none. Raises InfraError."""
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
    """What stands in an archive in the place of files that hold what is masked."""

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
    """Each line masked; of lines of JSON their texts, so that they stay JSON."""
    return "\n".join(_masked_line(line, mask) for line in text.split("\n"))


def _masked_line(line: str, mask: Mask) -> str:
    if line.startswith(("{", "[")):
        try:
            return json.dumps(map_texts(json.loads(line), mask.text))
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
            if column not in _NAMES:
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = masked("{column}")'  # noqa: S608
                    f" WHERE typeof(\"{column}\") = 'text'"
                )
    database.commit()
    database.execute("VACUUM")  # what was masked is in no free page
