"""The four kinds of tests with which people learn a system test framework, as groups.

One server: it starts and answers; it is started wrongly, twice, and stopped well; its data is
checked in every way, in two modes; its throughput is measured. Each of the groups has no more
lines than the same test takes in PySys' getting-started sample.
"""

from __future__ import annotations

import json
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Workplace

SERVER = """
    import argparse, gzip, json, logging, sys, threading, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    logging.basicConfig(format="%(asctime)s %(levelname)s: %(message)s", stream=sys.stdout)
    log = logging.getLogger()
    VALUES = {"sensor": "ABC1234", "values": [123.4, 670, None, 123.4], "path": r"c:\\data*"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            known = {"/hello": {"message": "Hello world!"}, "/values": VALUES, "/stop": {}}
            body = known.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            stamped = {**(body or {}), "at": time.strftime("%Y-%m-%d %H:%M:%S")}
            text = json.dumps(stamped, indent=1).encode()
            packed = self.headers.get("Accept-Encoding") == "gzip"
            self.wfile.write(gzip.compress(text, mtime=0) if packed else text)
            if self.path == "/stop":
                threading.Thread(target=self.server.shutdown).start()

        def log_message(self, *_): ...

    arguments = argparse.ArgumentParser()
    arguments.add_argument("--config")
    arguments.add_argument("--port", type=int)
    arguments.add_argument("--level", default="INFO")
    given = arguments.parse_args()
    try:
        log.setLevel(given.level)
        port = json.load(open(given.config))["port"] if given.config else given.port
        assert port > 0, f"invalid port {port}"
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except Exception as error:
        log.error("cannot start: %s", error)
        sys.exit(123)
    log.info("started on port %d", port)
    server.serve_forever()
"""

GET = """
    import gzip, sys, time, urllib.request

    url, kind, count = (sys.argv + ["none", "1"][len(sys.argv) - 2:])[1:4]
    for _ in range(int(count)):
        began = time.monotonic()
        asked = urllib.request.Request(url, headers={"Accept-Encoding": kind})
        body = urllib.request.urlopen(asked).read()
        if len(sys.argv) > 3:
            print(f"took {time.monotonic() - began:.6f} s")
        else:
            print((gzip.decompress(body) if kind == "gzip" else body).decode())
"""

#: Of `[[checks]]` and so on, and of what is shared: lines of the sample's test, without comments.
PYSYS_LINES = {"startup": 28, "errors": 38, "values": 57, "speed": 29, "shared": 35}

SHARED = {
    "testrium.toml": """
        pythonpath = ["lib"]
        [properties]
        iterations = 20
        """,
    "lib/servers.py": """
        import sys
        from testrium import testing

        def start(*arguments, port=None):
            port = port or testing.free_port()
            command = [sys.executable, "../server.py", "--port", str(port), *arguments]
            server = testing.start(command, ready={"log": "started on"}, error="ERROR")
            return server, f"http://127.0.0.1:{port}"

        def get(url, **options):
            return testing.run([sys.executable, "../get.py", url], **options)
        """,
}

SERVER_UNIT = """
    ["server"]
    command = ["${env.PY}", "../server.py", "--port", "${port.http}"]
    ports = ["http"]
    ready = {log = "started on port", error = " (ERROR|FATAL) "}
    """

STARTUP = {
    "config.toml": """
        [Configs]
        units = []
        """,
    "server.json": '{"port": ${port}}',
    "test_case.py": """
        import json, servers, sys
        from testrium import testing

        def test_startup():
            port = testing.free_port()
            with testing.work_folder() as folder:
                testing.fill_template("server.json", folder / "server.json", port=port)
                command = [sys.executable, "../server.py", "--config", str(folder / "server.json")]
                server = testing.start(command, ready={"log": "started on port"}, error=" ERROR")
                page = servers.get(f"http://127.0.0.1:{port}/hello")
                servers.get(f"http://127.0.0.1:{port}/none", exit="!=0")
            testing.check_log(server, lacks=" (ERROR|FATAL|WARN)")
            message = json.loads(page.stdout)["message"]
            testing.check_that("message == 'Hello world!'", message=message, url="/hello")
        """,
}

ERRORS = {
    "config.toml": """
        [Configs]
        units = []
        """,
    "test_case.py": """
        import servers, sys
        from testrium import testing

        def test_two_servers_and_a_clean_stop():
            first, url = servers.start()
            second, other = servers.start("--level", "DEBUG")
            testing.wait_for_port(int(url.rpartition(":")[2]), process=first)
            servers.get(f"{url}/hello")
            servers.get(f"{other}/hello")
            assert first.exit_code is None and second.exit_code is None
            servers.get(f"{url}/stop")
            assert first.wait() == 0

        def test_wrong_arguments():
            server = [sys.executable, "../server.py"]
            level = testing.run([*server, "--port", "1", "--level", "FOOBAR"], exit="!=0")
            port = testing.run([*server, "--port", "-1"], exit=123)
            testing.check_log(level, contains="ERROR: .*FOOBAR")
            found = testing.extract(port, "ERROR: (?P<text>.*)")
            testing.check_that("text == 'cannot start: invalid port -1'", **found)
        """,
}

VALUES = {
    "config.toml": r"""
        [Configs]
        units = ["server", "client"]
        [matrix]
        packing = ["gzip", "none"]
        [[checks]]
        name = "its lines"
        log = "client"
        lacks = "ERROR|Exception"
        contains = ['"at": ".+"', '"path": "c:\\\\data\*"']
        [[checks]]
        name = "the sensor"
        log = "client"
        extract = '"sensor": "(?P<sensor>[^"]*)"'
        expect = ["sensor == 'ABC1234'", "lower(sensor) in ['abc1234', 'ghi987']"]
        [[checks]]
        name = "one sensor"
        log = "client"
        contains = "sensor"
        count = "< 3"
        [[checks]]
        name = "the values"
        json = "${run.dir}/units/client/stdout.log"
        at = "values"
        equals-json = "[123.4, 670, null, 123.4]"
        [[checks]]
        name = "the numbers"
        json = "${run.dir}/units/client/stdout.log"
        at = "$.values[?@ != null]"
        expect = ["0 < min(value) < 1000", "len(value) == 3"]
        [[checks]]
        name = "the whole"
        log = "client"
        golden = "expected.txt"
        ignore = ["^$", "^WARNING: "]
        normalize = ["datetime"]
        """,
    "units/server.toml": SERVER_UNIT,
    "units/client.toml": """
        ["client"]
        command = ["${env.PY}", "../get.py", "http://127.0.0.1:${unit.server.port.http}/values",
                   "${param.packing}"]
        unit_dependencies = ["server"]
        """,
    "expected.txt": r"""
        {
         "sensor": "ABC1234",
         "values": [
          123.4,
          670,
          null,
          123.4
         ],
         "path": "c:\\data*",
         "at": "<datetime>"
        }
        """,
}

SPEED = {
    "config.toml": """
        [Configs]
        units = ["server", "client"]
        [[checks]]
        name = "no errors"
        log = "client"
        lacks = "[Ee]rror|Exception"
        """,
    "units/server.toml": SERVER_UNIT,
    "units/client.toml": """
        ["client"]
        command = ["${env.PY}", "../get.py", "http://127.0.0.1:${unit.server.port.http}/values",
                   "gzip", "${property.iterations}"]
        unit_dependencies = ["server"]
        """,
    "test_case.py": """
        import testrium
        from testrium import testing

        def test_throughput():
            found = testing.extract_all("client", r"took (?P<s>[\\d.]+) s")
            times = sorted(float(each["s"]) for each in found)
            told = {"samples": len(times)}
            testrium.metric("throughput", len(times) / sum(times), "1/s", better="larger")
            testrium.metric("latency.median", times[len(times) // 2], "s", details=told)
            testrium.metric("latency.highest", times[-1], "s", details=told)
        """,
}

GROUPS = {"startup": STARTUP, "errors": ERRORS, "values": VALUES, "speed": SPEED}


def lines_of(files: dict[str, str]) -> int:
    """Without empty ones and data; what is indented by Python counts as it stands."""
    texts = (text for name, text in files.items() if name.endswith((".py", "config.toml")))
    units = (text for name, text in files.items() if name.startswith("units/"))
    lines = (line for text in (*texts, *units) for line in text.splitlines())
    return sum(bool(line.strip()) for line in lines)


@pytest.mark.parametrize("name", PYSYS_LINES)
def test_no_more_lines_than_in_the_sample(name: str) -> None:
    assert lines_of(GROUPS.get(name, SHARED)) <= PYSYS_LINES[name]


def test_the_four_tests_pass(workplace: Workplace) -> None:
    for file, text in {**SHARED, "server.py": SERVER, "get.py": GET}.items():
        workplace.write(workplace.folder / file, dedent(text).lstrip("\n"))
    for name, files in GROUPS.items():
        (workplace.folder / name / "units").mkdir(parents=True)
        for file, text in files.items():
            workplace.write(workplace.folder / name / file, dedent(text).lstrip("\n"))
    workplace.env["PY"] = sys.executable
    done = workplace.start("run", "--json", "report.json", "-j", "4", "-X", "iterations=5")
    output, errors = done.communicate(timeout=60)
    assert done.returncode == 0, output + errors
    groups = json.loads((workplace.folder / "report.json").read_text())["groups"]
    assert sorted(group["id"] for group in groups) == [
        "errors",
        "speed",
        "startup",
        "values[packing=gzip]",
        "values[packing=none]",
    ]
    assert [note for group in groups for note in group["notes"]] == []
    [speed] = [group for group in groups if group["id"] == "speed"]
    reported = {one["name"]: one for one in speed["metrics"] if one["source"] == "reported"}
    assert reported.keys() == {"throughput", "latency.median", "latency.highest"}
    assert reported["latency.median"]["details"] == {"samples": 5}
