"""A Python unit in an interpreter of its own, into which a library was loaded at its start."""

from __future__ import annotations

import json
import os
from typing import NoReturn

from testrium.run import entrypoint
from testrium.run.protocol import Launch
from testrium.run.worker import LAUNCH, become


def main() -> NoReturn:
    """Be the unit that the environment names; does not return."""
    message = json.loads(os.environ.pop(LAUNCH))
    launch = Launch.from_message(message | {"env": dict(os.environ)})
    become(launch)
    entrypoint.run(launch)
