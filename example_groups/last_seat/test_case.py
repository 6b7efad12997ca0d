"""Two clerks and one seat. Between looking and selling, somebody else may look."""

import hashlib
import os
from pathlib import Path

import testrium


def first_clerk():
    sell()


def second_clerk():
    hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 50_000)  # signs in first
    sell()


def sell():
    me = testrium.unit()
    seat = Path(os.environ["TESTRIUM_RUN_DIR"], "seat-taken")
    me.probe("asked")
    is_free = not seat.exists()
    me.probe("looked", free=is_free)
    if is_free:
        seat.touch()  # `touch(exist_ok=False)` would look and take in one step
        me.probe("sold")
