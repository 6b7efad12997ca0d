"""A register of two copies, and two clients that tell what they ask and what they are answered."""

import json
import os
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import testrium

ITEMS = ("bolt", "nut")
PORT = int(os.environ.get("TESTRIUM_PORT_STORE_HTTP", "0"))


def store() -> None:
    """Serve PUT, which writes to the original, and GET, which reads from the copy."""
    original: dict[str, object] = {}
    copy: dict[str, object] = {}
    waits = os.environ["WAIT_FOR_COPY"] == "true"

    def replicate(item: str) -> None:
        if not waits:
            time.sleep(0.02)
        copy[item] = original[item]

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            item = self.path.strip("/")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            original[item] = json.loads(body)
            if waits:
                replicate(item)
            else:
                threading.Thread(target=replicate, args=(item,)).start()
            self.answer(None)

        def do_GET(self) -> None:
            self.answer(copy.get(self.path.strip("/")))

        def answer(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()


def call(method: str, item: str, value: object = None) -> object:
    body = None if method == "GET" else json.dumps(value).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/{item}", body, method=method)
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)


def writer() -> None:
    me = testrium.unit()
    for number in range(20):
        item = ITEMS[number % 2]
        key = f"w-{number}"
        me.probe("write-asked", key=key, item=item, value=number)
        call("PUT", item, number)
        me.probe("write-answered", key=key)


def reader() -> None:
    me = testrium.unit()
    for number in range(40):
        item = ITEMS[number % 2]
        key = f"r-{number}"
        me.probe("read-asked", key=key, item=item)
        value = call("GET", item)
        me.probe("read-answered", key=key, value=value)
