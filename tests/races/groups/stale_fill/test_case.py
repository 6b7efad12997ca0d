"""A reader fills the cache with what was true before the writer emptied it."""

import testrium
from shelf import drop, get, put


def reader():
    me = testrium.unit()
    me.probe("began")
    if get("cache") is None:
        value = get("store", 1)
        me.probe("read", value=value)
        put("cache", value)
    me.probe("filled")
    me.wait_for("writer:wrote")
    assert get("cache", 2) == 2, "the cache has the old value"


def writer():
    me = testrium.unit()
    me.probe("began")
    put("store", 2)
    drop("cache")
    me.probe("wrote")
