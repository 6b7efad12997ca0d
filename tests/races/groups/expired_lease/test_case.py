"""The holder of a lease is slow, another one takes over, and both write."""

import testrium
from shelf import append, get, put


def first():
    me = testrium.unit()
    put("lease", "first")
    me.probe("acquired")
    if get("lease") == "first":
        me.probe("sure")
        append("writes", "first")
    me.probe("wrote")


def second():
    me = testrium.unit()
    me.wait_for("first:acquired")
    me.probe("began")
    put("lease", "second")
    append("writes", "second")
    me.probe("wrote")
