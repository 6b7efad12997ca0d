"""Accepts orders, each once, however often it is asked."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import testrium

accepted: set[str] = set()


class Shop(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        order = self.path.removeprefix("/orders/")
        if order not in accepted:
            accepted.add(order)
            testrium.unit().receive("accepted", key=order)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["TESTRIUM_PORT_HTTP"])), Shop)
    testrium.unit().probe("open")
    server.serve_forever()
