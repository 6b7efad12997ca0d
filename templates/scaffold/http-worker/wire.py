"""How the client and the worker call the service: JSON over HTTP."""

import json
import os
import urllib.request
from typing import Any


def call(path: str, body: Any = None) -> Any:
    """Post `body` (None: only ask) and return the answer."""
    port = os.environ["TESTRIUM_PORT_API_HTTP"]
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)
