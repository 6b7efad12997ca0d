"""The client of a service that cannot be changed, and a test of the running service."""

import os
import urllib.request

import testrium


def ask(query: str) -> int:
    """Ask the service and return the HTTP status."""
    port = os.environ["TESTRIUM_PORT_SERVICE_HTTP"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{query}", timeout=5) as answer:
        return int(answer.status)


def client() -> None:
    """Five requests; the id in the URL is found again in the service's log."""
    me = testrium.unit()
    for number in range(1, 6):
        key = f"request-{number}"
        # The first probe: a Send, emitted before the request. The key is in the URL, so in the
        # service's log too, where units/service.toml finds it.
        me.send("asked", key=key)
        status = ask(f"?id={key}")
        me.receive("answered", key=key, status=status)


def test_service_is_still_up() -> None:
    """Runs when the circuit is complete and before the services are stopped."""
    assert ask("") == 200
