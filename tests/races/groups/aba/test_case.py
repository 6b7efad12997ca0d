"""The top of the stack is compared, and is another one with the same name."""

import testrium
from shelf import get, put


def slow():
    me = testrium.unit()
    me.probe("began")
    stack = get("stack", ["x", "y", "z"])
    me.probe("looked", top=stack[0])
    if get("stack", ["x", "y", "z"])[0] == "x":
        put("stack", stack[1:])
    me.probe("popped")
    assert get("freed") != "y" or get("stack")[0] != "y", "y was freed, and is on the stack"


def fast():
    me = testrium.unit()
    me.probe("began")
    if get("stack", ["x", "y", "z"]) == ["x", "y", "z"]:
        put("freed", "y")
        put("stack", ["x", "z"])
    me.probe("exchanged")
