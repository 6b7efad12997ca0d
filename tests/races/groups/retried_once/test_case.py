"""A worker whose update was overtaken tries once more, and then does not look again."""

import testrium
from shelf import get, put


def careful():
    me = testrium.unit()
    me.probe("began")
    before = get("counter", 0)
    me.probe("read")
    if get("counter", 0) == before:
        put("counter", before + 1)
        me.probe("wrote")
        return
    before = get("counter", 0)
    me.probe("read-again")
    put("counter", before + 1)
    me.probe("wrote")


def quick():
    me = testrium.unit()
    me.probe("began")
    put("counter", get("counter", 0) + 1)
    me.probe("wrote")
