"""The waiter looks, and waits afterwards; who wakes it knows of no waiter yet."""

import testrium
from shelf import get, put


def waiter():
    me = testrium.unit()
    me.probe("began")
    if not get("done"):
        me.probe("looked")
        put("waiting", True)
        me.wait_for("waker:finished")
        assert get("woken"), "nobody has woken it"
    me.probe("went-on")


def waker():
    me = testrium.unit()
    me.probe("began")
    put("done", True)
    if get("waiting"):
        put("woken", True)
    me.probe("finished")
