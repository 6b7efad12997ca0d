"""Two units take two locks, each in its own order."""

import testrium
from shelf import lock


def first():
    locked("left", "right")


def second():
    locked("right", "left")


def locked(one, other):
    me = testrium.unit()
    me.probe("began")
    with lock(one):
        me.probe("has-one")
        with lock(other):
            me.probe("has-both")
