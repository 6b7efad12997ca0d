"""Two handlers look up the id of a request, pay, and note it afterwards."""

import testrium
from shelf import append, get, put


def handler():
    me = testrium.unit()
    me.probe("began")
    if "r1" not in get("seen", []):
        me.probe("new")
        append("paid", 10)
        put("seen", ["r1"])
    me.probe("answered")
