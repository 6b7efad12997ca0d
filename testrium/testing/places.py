"""Where a unit's process keeps the files of its tests: in the run's folder, if there is one."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from testrium.probe import environment as names


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


def unit_logs(unit: str) -> dict[str, Path]:
    """The files that hold the output of a unit of this run. Raises ValueError, RuntimeError."""
    run = run_dir()
    if run is None:
        raise RuntimeError(
            f"{unit!r} cannot be a unit outside of a run; for a file give a Path, no str"
        )
    folder = run / "units" / unit
    if not folder.is_dir():
        hint = _nearest_unit(unit)
        raise ValueError(f"there is no unit {unit!r} in this run; for a file give a Path{hint}")
    return {"stdout": folder / "stdout.log", "stderr": folder / "stderr.log"}


def check_unit(unit: str) -> None:
    """Raise ValueError where there is a run, and it has no such unit: it would never be seen."""
    run = run_dir()
    if run is not None and (run / "units").is_dir() and not (run / "units" / unit).is_dir():
        raise ValueError(f"there is no unit {unit!r} in this run{_nearest_unit(unit)}")


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
    import difflib

    run = run_dir()
    names = [] if run is None else [folder.name for folder in (run / "units").iterdir()]
    near = difflib.get_close_matches(unit, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


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
    folder = Path(tempfile.mkdtemp(prefix="testrium-"))
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
