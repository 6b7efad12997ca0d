"""The service: put yours in its place, with the same probes."""

import json
import os
import queue
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import testrium

JOBS: queue.Queue[Any] = queue.Queue()
RESULTS: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/health":
                self.answer({})
            case "/next":
                self.answer(JOBS.get())  # waits until there is one
            case "/results":
                self.answer(RESULTS)

    def do_POST(self) -> None:
        me = testrium.unit()
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match self.path:
            case "/jobs":
                # The probe comes before the effect: the worker could be faster than this thread.
                me.receive("accepted", key=job["id"], text=job["text"])
                JOBS.put(job)
            case "/results":
                RESULTS[job["id"]] = job["result"]
                me.receive("stored", key=job["id"], text=job["text"])
        self.answer({})

    def answer(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    port = int(os.environ["TESTRIUM_PORT_HTTP"])
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        testrium.unit().probe("started", port=port)
        server.serve_forever()
