"""The last user is gone: the closer closes, while another one has just looked."""

import testrium
from shelf import get, put


def user():
    me = testrium.unit()
    me.probe("began")
    if not get("closed"):
        me.probe("looked")
        put("users", 1)
        me.probe("using")
        assert not get("closed"), "used after it was closed"
        put("users", 0)
    me.probe("done")


def closer():
    me = testrium.unit()
    me.probe("began")
    if get("users", 0) == 0:
        me.probe("nobody")
        put("closed", True)
    me.probe("ended")
