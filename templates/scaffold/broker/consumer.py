"""A member of the group `workers`: Redis gives each job to one of them."""

import contextlib

import testrium
from resp import Redis, RedisError


def main() -> None:
    me, redis = testrium.unit(), Redis()
    with contextlib.suppress(RedisError):  # the other consumer made the group already
        redis("XGROUP", "CREATE", "jobs", "workers", "0", "MKSTREAM")
    next_job = f"XREADGROUP GROUP workers {me.name} COUNT 1 BLOCK 0 STREAMS jobs >".split()
    me.probe("waiting")
    while True:
        [[_, entries]] = redis(*next_job)
        [[entry, [_, key, _, task]]] = entries
        me.receive("handled", key=key, task=task)
        assert redis("XACK", "jobs", "workers", entry) == 1
        me.probe("acknowledged", key=key, task=task)
