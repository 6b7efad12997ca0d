"""Takes one job after the other; told to stop, it finishes the one in its hands."""

import signal

import testrium
from resp import Redis


def main() -> None:
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    me, redis = testrium.unit(), Redis()
    me.probe("waiting")
    while not stopping:
        # Not for ever: a worker that waits must see that it shall stop.
        job = redis("BLPOP", "jobs", "0.1")
        if job is None:
            continue
        key, _, task = job[1].partition(" ")
        me.receive("taken", key=key, task=task)
        redis("INCR", f"done:{key}")
        me.probe("done", key=key, task=task)
