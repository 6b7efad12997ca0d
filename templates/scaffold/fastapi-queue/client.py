"""Posts ten jobs, each under a key that identifies it on its whole way."""

import json
import os
import urllib.request

import testrium


def main() -> None:
    me = testrium.unit()
    url = f"http://127.0.0.1:{os.environ['TESTRIUM_PORT_API_HTTP']}/jobs"
    for number in range(1, 11):
        # The key: a text that travels with the message anyway, such as the number of an order.
        key, task = f"job-{number:02}", f"resize image {number}"
        # The first probe: a Send says that a message leaves this unit. Emit it before you send.
        me.send("posted", key=key, task=task)
        body = json.dumps({"id": key, "task": task}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
