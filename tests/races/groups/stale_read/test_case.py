"""The writer says that it has written before the cache has forgotten the old value."""

import testrium
from shelf import HEALTHY, drop, get, put


def writer():
    me = testrium.unit()
    put("cache", 1)
    put("store", 1)
    me.probe("ready")
    put("store", 2)
    if HEALTHY:
        drop("cache")
    me.probe("acknowledged")
    drop("cache")
    me.probe("invalidated")


def reader():
    me = testrium.unit()
    me.wait_for("writer:acknowledged")
    me.probe("asked")
    value = get("cache") or get("store")
    me.probe("got", value=value)
    assert value == 2, f"got {value}, and 2 was acknowledged"
