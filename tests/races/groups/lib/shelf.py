"""What units of these groups share: one file for each name, in the folder of the run."""

import fcntl
import json
import os
from contextlib import contextmanager, nullcontext
from pathlib import Path

HEALTHY = os.environ.get("HEALTHY") == "yes"
FOLDER = Path(os.environ["TESTRIUM_RUN_DIR"])


def get(name, default=None):
    try:
        return json.loads((FOLDER / name).read_text())
    except FileNotFoundError:
        return default


def put(name, value):
    new = FOLDER / f"{name}.{os.getpid()}"
    new.write_text(json.dumps(value))
    new.replace(FOLDER / name)


def drop(name):
    (FOLDER / name).unlink(missing_ok=True)


def take(name):
    """Whether this process is the first to take the name: one system call."""
    try:
        os.close(os.open(FOLDER / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def append(name, value):
    with (FOLDER / name).open("a") as file:
        file.write(f"{value}\n")


@contextmanager
def lock(name="lock"):
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def healthy_lock():
    """A lock in the healthy twin, nothing in the racy one."""
    return lock() if HEALTHY else nullcontext()
