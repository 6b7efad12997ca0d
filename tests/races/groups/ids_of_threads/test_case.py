"""Two threads of one unit take the highest id and add one."""

import threading

import testrium
from shelf import get, put


def service():
    threads = [threading.Thread(target=insert, name=name) for name in ("t1", "t2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get("ids") == [1, 2], f"ids are {get('ids')}"


def insert():
    me = testrium.unit()
    me.probe("began")
    ids = get("ids", [])
    me.probe("read", ids=ids)
    put("ids", [*ids, len(ids) + 1])
    me.probe("inserted")
