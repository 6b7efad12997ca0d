"""Two doctors go off duty, each because the other one is on duty."""

import testrium
from shelf import HEALTHY, append, get, healthy_lock, put


def doctor():
    me = testrium.unit()
    me.probe("began")
    with healthy_lock():
        off = get("off", []) if HEALTHY else [n for n in "ab" if get(f"off-{n}")]
        me.probe("looked", off=off)
        if not off:
            put(f"off-{me.name}", True)
            put("off", [me.name])
            append("gone", me.name)
            me.probe("went")
