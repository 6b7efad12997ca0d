"""`--archive`: the run's folder as one file, for another machine."""

from __future__ import annotations

from pathlib import Path

from testrium.errors import UsageError
from testrium.record.archive import write_archive
from testrium.report.writer import ReportChoice, Writer
from testrium.results import RunResult
from testrium.words import BAD_VERDICTS


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
        write_archive(result.folder, folders, self.cwd / self.target)
