"""The subscriber reads the state and subscribes afterwards: what comes in between is lost."""

import testrium
from shelf import HEALTHY, get, put


def subscriber():
    me = testrium.unit()
    me.probe("began")
    if HEALTHY:
        put("subscribers", ["s"])
    known = get("state", 0)
    me.probe("read", value=known)
    put("subscribers", ["s"])
    me.probe("subscribed")
    me.wait_for("publisher:published")
    known = max(known, get("inbox", 0))
    assert known == 1, "the message did not arrive"


def publisher():
    me = testrium.unit()
    me.probe("began")
    put("state", 1)
    if get("subscribers", []):
        put("inbox", 1)
    me.probe("published")
