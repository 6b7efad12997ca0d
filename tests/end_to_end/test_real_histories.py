"""Histories of real servers: a stale read of a replica, and a counter without a transaction."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace

POSTGRES = next(Path("/usr/lib/postgresql").glob("*/bin/postgres"), Path("postgres"))

HISTORY = """
    [[histories]]
    name = "stock"
    model = "{model}"
    invoke = "client:*-asked"
    answer = "client:*-answered"
    [matrix]
    {matrix}
"""

REDIS = """
    command = ["redis-server", "--port", "${port.tcp}", "--save", "", "--bind", "127.0.0.1",
        "--repl-diskless-sync-delay", "0"]
    ports = ["tcp"]
    ready = {tcp = "${port.tcp}"}
"""

REGISTER = """
    import os, socket

    class Redis:
        def __init__(self, name):
            self.port = int(os.environ[f"TESTRIUM_PORT_{name}_TCP"])
            self.lines = socket.create_connection(("127.0.0.1", self.port)).makefile("rwb")

        def ask(self, *words):
            self.lines.write(" ".join(map(str, words)).encode() + b"\\r\\n")
            self.lines.flush()
            answer = self.lines.readline().strip()
            return self.lines.readline().strip() if answer.startswith(b"$") else answer

    def client():
        me = testrium.unit()
        primary, replica = Redis("PRIMARY"), Redis("REPLICA")
        reads = {"primary": primary, "replica": replica}[os.environ["READS"]]

        def write(value):
            me.probe("write-asked", key=f"w{value}", value=value)
            primary.ask("SET", "stock", value)
            me.probe("write-answered", key=f"w{value}")

        def read(key):
            me.probe("read-asked", key=key)
            me.probe("read-answered", key=key, value=int(reads.ask("GET", "stock")))

        replica.ask("REPLICAOF", "127.0.0.1", primary.port)
        write(1)
        assert primary.ask("WAIT", 1, 10_000) == b":1"
        read("r1")
        replica.ask("REPLICAOF", "127.0.0.1", 1)  # its primary is lost: it goes on with what it has
        write(2)
        read("r2")
"""


def verdicts(workplace: Workplace) -> dict[str, tuple[str, list[str]]]:
    """The verdict and the findings for each parameter."""
    return {
        "".join(group["params"].values()): (
            group["verdict"],
            [f"{finding['code']} {finding['where']}" for finding in group["findings"]],
        )
        for group in workplace.run(limit_s=60).report["groups"]
    }


@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")
def test_a_stale_read_of_a_replica_is_inconsistent(workplace: Workplace) -> None:
    units = {
        "primary": REDIS,
        "replica": REDIS,
        "client": """
            entrypoint = "test_case:client"
            unit_dependencies = ["primary", "replica"]
            env = {READS = "${param.reads}"}
        """,
    }
    tables = HISTORY.format(model="register", matrix='reads = ["primary", "replica"]')
    workplace.group(units, REGISTER, configs="timeout = 30\ndiagnostics = false", tables=tables)
    assert verdicts(workplace) == {
        "primary": ("pass", []),
        "replica": ("fail", ["inconsistent stock"]),
    }


COUNTER = """
    import os, threading
    import pg8000.native

    BOTH_HAVE_READ = threading.Barrier(2)

    def connected():
        port = int(os.environ["TESTRIUM_PORT_DB_TCP"])
        return pg8000.native.Connection("me", host="127.0.0.1", port=port, database="postgres")

    def add(key):
        me, in_transaction = testrium.unit(), os.environ["TRANSACTION"] == "yes"
        with connected() as db:
            me.probe("add-asked", key=key)
            if in_transaction:
                db.run("begin")
                ((count,),) = db.run("select count from stock for update")
            else:
                ((count,),) = db.run("select count from stock")
                BOTH_HAVE_READ.wait()
            db.run("update stock set count = :count", count=count + 1)
            if in_transaction:
                db.run("commit")
            me.probe("add-answered", key=key, value=count + 1)

    def client():
        with connected() as db:
            db.run("drop table if exists stock")
            db.run("create table stock (count int)")
            db.run("insert into stock values (0)")
        threads = [threading.Thread(target=add, args=(key,)) for key in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
"""


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which(POSTGRES), reason="PostgreSQL is not installed")
@pytest.mark.skipif(find_spec("pg8000") is None, reason="pg8000 is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="another user makes the data folder")
def test_a_counter_is_inconsistent_without_a_transaction(
    workplace: Workplace, request: pytest.FixtureRequest
) -> None:
    data = tempfile.mkdtemp(prefix="testrium-postgres")
    request.addfinalizer(partial(shutil.rmtree, data))
    shutil.chown(data, "postgres")
    made = [str(POSTGRES.parent / "initdb"), "-U", "me", "-A", "trust", "-N", "-D", data]
    subprocess.run(made, user="postgres", cwd="/", check=True, capture_output=True)
    workplace.env["PGDATA"] = data
    units = {
        "db": f"""
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
                "{POSTGRES}", "-D", "${{env.PGDATA}}", "-p", "${{port.tcp}}", "-k", "", "-F"]
            ports = ["tcp"]
            ready = {{tcp = "${{port.tcp}}"}}
        """,
        "client": """
            entrypoint = "test_case:client"
            unit_dependencies = ["db"]
            env = {TRANSACTION = "${param.transaction}"}
        """,
    }
    tables = HISTORY.format(model="counter", matrix='transaction = ["yes", "no"]')
    workplace.group(units, COUNTER, configs="timeout = 60\ndiagnostics = false", tables=tables)
    assert verdicts(workplace) == {"yes": ("pass", []), "no": ("fail", ["inconsistent stock"])}
