"""Adds fifty jobs to the stream."""

import testrium
from resp import Redis

JOBS = 50


def main() -> None:
    me, redis = testrium.unit(), Redis()
    for number in range(JOBS):
        key, task = f"job-{number:02}", f"resize image {number}"
        # The first probe of the route: a Send, emitted before the message leaves this unit. Its key
        # travels with the message, so that the consumer can name it too.
        me.send("added", key=key, task=task)
        redis("XADD", "jobs", "*", "key", key, "task", task)
