"""What the probes cannot tell: asked of Redis when the circuit is complete."""

import os

import redis


def test_every_result_is_stored() -> None:
    """Runs when every key has come to the end of its route, with the services still up."""
    port = int(os.environ["TESTRIUM_PORT_REDIS_TCP"])
    results = redis.Redis(port=port, decode_responses=True).hgetall("results")
    assert results == {f"job-{n:02}": f"RESIZE IMAGE {n}" for n in range(1, 11)}
