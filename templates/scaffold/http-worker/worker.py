"""Fetches one job after the other and does it, for as long as it is left alive."""

import testrium
from wire import call


def main() -> None:
    me = testrium.unit()
    me.probe("waiting")
    while True:
        job = call("/next")
        me.receive("taken", key=job["id"], text=job["text"])
        job["result"] = job["text"].upper()
        me.send("done", key=job["id"], text=job["text"])
        call("/results", job)
