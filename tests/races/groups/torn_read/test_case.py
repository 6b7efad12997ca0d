"""Money is moved in two steps, and the auditor adds up in between."""

import testrium
from shelf import get, healthy_lock, put


def bank():
    me = testrium.unit()
    me.probe("began")
    with healthy_lock():
        put("left", 0)
        me.probe("withdrawn")
        put("right", 2)
    me.probe("deposited")


def auditor():
    me = testrium.unit()
    me.probe("began")
    with healthy_lock():
        total = get("left", 1) + get("right", 1)
    me.probe("added", total=total)
    assert total == 2, f"the total is {total}"
