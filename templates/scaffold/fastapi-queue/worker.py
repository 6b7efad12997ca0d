"""The worker: takes one job after the other from the Redis list until the runner stops it."""

import json
import os

import redis
import testrium


def main() -> None:
    me = testrium.unit()
    queue = redis.Redis(port=int(os.environ["TESTRIUM_PORT_REDIS_TCP"]), decode_responses=True)
    me.probe("waiting")  # the ready_event in units/worker.toml: the client starts after it
    while True:
        _, text = queue.brpop(["jobs"])
        job = json.loads(text)
        me.receive("taken", key=job["id"], task=job["task"])
        queue.hset("results", job["id"], job["task"].upper())
        me.probe("done", key=job["id"], task=job["task"])
