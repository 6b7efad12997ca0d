"""Adds fifty jobs to the stream."""

import testrium
from resp import Redis

JOBS = 50


def main() -> None:
    me, redis = testrium.unit(), Redis()
    for number in range(JOBS):
        key, task = f"job-{number:02}", f"resize image {number}"
        me.send("added", key=key, task=task)
        redis("XADD", "jobs", "*", "key", key, "task", task)
