"""A queue over TCP: an order is delivered until somebody acknowledges it.

A producer says `put ORDER`, and hears `done ORDER` once that is acknowledged. A consumer says
`take`, gets an order as soon as there is one, and says `ack ORDER`. What it has taken and not
acknowledged when it hangs up is delivered again.
"""

import os
import queue
import socketserver

import testrium

orders = queue.Queue()
producers = {}


class Conversation(socketserver.StreamRequestHandler):
    def handle(self):
        taken = []
        try:
            for line in self.rfile:
                self.obey(line.decode().split(), taken)
        except OSError:
            pass  # it has died
        for order in taken:
            orders.put(order)

    def obey(self, words, taken):
        match words:
            case ["put", order]:
                producers[order] = self.wfile
                orders.put(order)
            case ["take"]:
                taken.append(orders.get())
                self.wfile.write(f"{taken[-1]}\n".encode())
            case ["ack", order]:
                taken.remove(order)
                producers[order].write(f"done {order}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main():
    with Server(("127.0.0.1", int(os.environ["TESTRIUM_PORT_TCP"])), Conversation) as server:
        testrium.unit().probe("listening")
        server.serve_forever()
