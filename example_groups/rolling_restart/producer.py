"""Queues sixty jobs, and keeps ten of them waiting."""

import testrium
from resp import Redis

JOBS = 60
WAITING = 10


def name(number: int) -> str:
    return f"job-{number:02}"


def main() -> None:
    me, redis = testrium.unit(), Redis()
    for number in range(JOBS):
        if number >= WAITING:
            me.wait_for("*:done", key=name(number - WAITING), timeout=5)
        task = f"resize image {number}"
        me.send("queued", key=name(number), task=task)
        redis("RPUSH", "jobs", f"{name(number)} {task}")
