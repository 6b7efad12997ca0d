"""Python: books what it receives and says so."""

import os
import socketserver

import testrium


class Booking(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            key = line.decode().strip()
            testrium.unit().receive("booked", key=key)
            self.wfile.write(line)


def main() -> None:
    port = int(os.environ["TESTRIUM_PORT_TCP"])
    with socketserver.TCPServer(("127.0.0.1", port), Booking) as server:
        testrium.unit().probe("listening")
        server.serve_forever()
