"""JSON over HTTP, as small as it can be: what the services of this shop speak."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[Any], Any]


def serve(routes: Mapping[str, Answer], when_ready: Callable[[], None]) -> None:
    """Answer POST requests on this unit's port `http` until the process is stopped."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = json.dumps(routes[self.path](json.loads(body))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    port = int(os.environ["TESTRIUM_PORT_HTTP"])
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        when_ready()
        server.serve_forever()


def call(unit: str, path: str, body: Any) -> Any:
    """Post `body` to another unit and return its answer."""
    port = os.environ[f"TESTRIUM_PORT_{unit.upper()}_HTTP"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=15) as answer:
        return json.load(answer)
