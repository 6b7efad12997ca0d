"""Which commit of the user's project a run belongs to."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Revision(NamedTuple):
    """A git commit; `dirty` where tracked files differ from it."""

    commit: str
    dirty: bool


def revision_of(folder: Path, *, timeout_s: float = 0.5) -> Revision | None:
    """The revision of the working tree around `folder`.

    None where there is no git, no commit, or no answer in time: a large tree on a slow disk must
    not hold up a run. One call of git tells both (`git help status`, porcelain format v2).
    """
    command = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch", "-uno"]
    try:
        answer = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            timeout=timeout_s,
            check=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.splitlines()
    prefix = "# branch.oid "
    commit = next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), "")
    if not commit or commit == "(initial)":
        return None
    return Revision(commit, dirty=any(not line.startswith("#") for line in lines))
