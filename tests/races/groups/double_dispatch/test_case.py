"""Two dispatchers take the first job of a list, and then remove it."""

import testrium
from shelf import get, healthy_lock, put


def dispatcher():
    me = testrium.unit()
    me.probe("began")
    with healthy_lock():
        jobs = get("jobs", ["j1", "j2"])
        me.probe("peeked", job=jobs[0])
        put("jobs", jobs[1:])
    me.receive("dispatched", key=jobs[0])
