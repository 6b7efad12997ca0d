"""Two clerks look whether the seat is free, and then take it."""

import testrium
from shelf import HEALTHY, get, put, take


def clerk():
    me = testrium.unit()
    me.probe("began")
    if HEALTHY:
        free = take("seat")
    else:
        free = get("seat") is None
        me.probe("looked")
    if free:
        put("seat", me.name)
        me.probe("sold")
