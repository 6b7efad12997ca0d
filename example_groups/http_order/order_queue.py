"""A durable queue in SQLite. Whoever takes from it waits until there is something."""

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import testrium
from wire import serve


class Queue:
    """First in, first out; the file in the run's folder survives this process."""

    def __init__(self, file: Path) -> None:
        self._orders = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        self._orders.execute("create table orders (id text primary key, amount integer)")
        self._changed = threading.Condition()
        self._me = testrium.unit()

    def put(self, order: Any) -> None:
        with self._changed:
            # The probe comes before the effect: a worker could be faster than this thread.
            self._me.probe("queued", key=order["id"], amount=order["amount"])
            self._orders.execute("insert into orders values (:id, :amount)", order)
            self._changed.notify()

    def take(self, _: Any) -> dict[str, Any]:
        with self._changed:
            while (row := self._oldest()) is None:
                self._changed.wait()
            self._orders.execute("delete from orders where id = ?", row[:1])
            return {"id": row[0], "amount": row[1]}

    def _oldest(self) -> Any:
        return self._orders.execute("select id, amount from orders order by rowid").fetchone()


def main() -> None:
    queue = Queue(Path(os.environ["TESTRIUM_RUN_DIR"]) / "queue.db")
    serve({"/put": queue.put, "/take": queue.take}, lambda: testrium.unit().probe("ready"))
