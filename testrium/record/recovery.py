"""What a killed runner had not stored yet is read from the probe files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from testrium.errors import InfraError
from testrium.record.database import check_objects, open_reader
from testrium.record.probe_file import ProbeFile
from testrium.record.store import Store
from testrium.system.files import locked_folder


def recover(run_folder: Path) -> int:
    """Store all that the probe files of one group's run hold beyond what was stored.

    Nothing is stored twice, so it may be called at any time after the runner is gone. A probe file
    that has been deleted since is evidence that is missing, and noted as a damage.

    Returns:
        How many events were added.

    Raises:
        InfraError: there is no Data.db, or it cannot be written.
    """
    database = run_folder / "Data.db"
    if not database.is_file():
        raise InfraError(f"{database} does not exist: there is nothing to recover")
    check_objects(str(database))
    # Of several commands that look at the run at once, the others find nothing more to read.
    with locked_folder(run_folder), closing(Store(database)) as store:
        first_id = store.next_id
        try:
            domain = store.meta("domain") or ""
            opened = store.meta("opened") or [0, 0]
            for path, unit, start, attempt, offset, low_ns in store.files():
                if not Path(path).is_file():
                    reason = f"the probe file {Path(path).name} is gone"
                    store.append((), [(unit, reason, "", attempt)])
                    store.forget_file(path)
                    continue
                file = ProbeFile(
                    path,
                    unit,
                    domain=domain,
                    start=start,
                    attempt=attempt,
                    offset=offset,
                    low_ns=low_ns,
                    quick=True,
                )
                with closing(file):
                    _read_all(store, file, _written_ns(file, opened))
        except (OSError, sqlite3.Error) as error:
            raise InfraError(f"cannot recover {run_folder}: {error}") from error
        return store.next_id - first_id


def recover_unread(run_folder: Path) -> None:
    """Store what a run that was interrupted had no time to store. Raises InfraError."""
    database = run_folder / "Data.db"
    if not database.is_file():
        return
    with closing(open_reader(str(database))) as reader:
        found = reader.execute("SELECT Value FROM Meta WHERE Name = 'unread'").fetchone()
    if found is not None and json.loads(found[0]):
        recover(run_folder)
        with closing(Store(database)) as store:
            store.store_meta({"unread": False})


def _read_all(store: Store, file: ProbeFile, read_ns: int) -> None:
    more = file.has_grown()  # or was cut
    while more:
        batch = file.read(store.next_id, read_ns)
        store.append(batch.readings, batch.damages, [file], batch.metrics)
        more = batch.more
    batch = file.read_rest(store.next_id, read_ns)
    store.append(batch.readings, batch.damages, [file], batch.metrics)


def _written_ns(file: ProbeFile, opened: list[int]) -> int:
    """An upper bound for lines without a time: when the file was written last.

    `opened` is one moment on the runner's monotonic clock and on the wall clock; this process may
    run on another host or after another boot.
    """
    monotonic_ns, wall_ns = opened
    return monotonic_ns + Path(file.path).stat().st_mtime_ns - wall_ns
