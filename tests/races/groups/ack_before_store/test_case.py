"""The message is acknowledged before it is stored, and the books are closed in between."""

import testrium
from shelf import FOLDER, HEALTHY, append, get, put


def consumer():
    me = testrium.unit()
    me.probe("taken")
    if HEALTHY:
        append("books", "m1")
    put("queue", [])
    me.probe("acknowledged")
    if not HEALTHY:
        append("books", "m1")
    me.probe("stored")


def closer():
    me = testrium.unit()
    me.probe("began")
    if get("queue", ["m1"]) == []:
        me.probe("closing")
        books = (FOLDER / "books").read_text() if (FOLDER / "books").exists() else ""
        assert "m1" in books, "closed without m1"
    me.probe("closed")
