"""Two workers store two versions, and the older one may come last."""

import testrium
from shelf import put


def old():
    store(1)


def new():
    me = testrium.unit()
    me.wait_for("old:taken")
    store(2)


def store(version):
    me = testrium.unit()
    me.probe("taken", version=version)
    put("row", version)
    me.probe("stored")
