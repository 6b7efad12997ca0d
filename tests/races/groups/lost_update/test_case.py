"""Two workers add one to a counter, each after reading it."""

import testrium
from shelf import get, healthy_lock, put


def worker():
    me = testrium.unit()
    me.probe("began")
    with healthy_lock():
        value = get("counter", 0)
        me.probe("read", value=value)
        put("counter", value + 1)
    me.probe("wrote")
