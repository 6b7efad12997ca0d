"""The order is announced before it can be found."""

import testrium
from shelf import HEALTHY, get, put


def shop():
    me = testrium.unit()
    me.probe("began")
    if HEALTHY:
        put("order", "o1")
    me.send("announced", key="o1")
    put("order", "o1")
    me.probe("committed")


def mailer():
    me = testrium.unit()
    me.wait_for("shop:announced")
    me.receive("heard", key="o1")
    order = get("order")
    assert order == "o1", "the order that was announced is not there"
    me.probe("mailed")
