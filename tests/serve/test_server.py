"""The dashboard as a client sees it that is no browser."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import testrium.history
from testrium.declared.circuits import Rules
from testrium.declared.groups import Group, Scenario
from testrium.errors import ExitCode, UsageError
from testrium.evidence import End, EndCause, UnitState
from testrium.history.database import History
from testrium.history.rows import Revision
from testrium.record.runs import claimed
from testrium.report.json_report import write_report
from testrium.results import GroupResult, RunResult
from testrium.serve.pages import MOST_RUNS, Pages
from testrium.serve.server import Dashboard
from testrium.words import Verdict

NAME = "shop/<b>[browser=a,size=1]"


def result(run: str, state: Path) -> RunResult:
    group = GroupResult(
        Scenario(NAME, Group(NAME, state.parent / "shop", ()), ()), Verdict.PASS, duration_s=0.5
    )
    return RunResult(run, Verdict.PASS, ExitCode.SUCCESS, 0.6, (group,), started_wall=1.7e9)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / ".testrium"
    with History(state) as history:
        for run in ("20261121-000000-aaaa", "20261121-000001-bbbb"):
            history.append(result(run, state))
    kept = state / "runs" / "20261121-000001-bbbb"
    kept.mkdir(parents=True)
    write_report(result(kept.name, state), kept / "report.json")
    return state


@pytest.fixture
def dashboard(state: Path) -> Iterator[Dashboard]:
    with Dashboard(0, Pages(state, state.parent)) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def ask(
    dashboard: Dashboard, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection("127.0.0.1", dashboard.server_port, timeout=30)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response, text


def read(dashboard: Dashboard, path: str) -> tuple[int, str]:
    cookie = dashboard.gate.cookie.partition(";")[0]
    response, text = ask(dashboard, path, Cookie=cookie)
    return response.status, text


def test_the_link_leads_to_a_clean_address(dashboard: Dashboard) -> None:
    response, text = ask(dashboard, f"/?token={dashboard.gate.token}")
    assert (response.status, response.headers["Location"], text) == (303, "/", "")
    assert response.headers["Set-Cookie"].startswith(f"testrium-{dashboard.server_port}=")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/run/a%2Fb", "/run/a%2Fb"),
        ("//evil.test/x", "/evil.test/x"),
        ("/\\evil.test/", "/evil.test/"),
    ],
)
def test_a_link_to_a_page_leads_there_and_nowhere_else(
    dashboard: Dashboard, path: str, location: str
) -> None:
    response, _ = ask(dashboard, f"{path}?token={dashboard.gate.token}")
    assert response.headers["Location"] == location


def test_without_the_token_every_page_is_refused(dashboard: Dashboard) -> None:
    for path in ("/", "/run/20261121-000001-bbbb", "/group/x", "/nothing"):
        response, text = ask(dashboard, path)
        assert response.status == 403
        assert "open the link that testrium serve has printed" in text
        assert "bbbb" not in text


def test_events_are_sent_to_who_has_the_token(dashboard: Dashboard, state: Path) -> None:
    assert ask(dashboard, "/events")[0].status == 403
    assert read(dashboard, "/events/none")[0] == 404
    status, text = read(dashboard, "/events/20261121-000001-bbbb")  # it is over
    assert status == 200
    assert text.endswith('event: ended\ndata: {"run": "20261121-000001-bbbb"}\n\n')

    going_on = state / "runs" / "20261121-000002-cccc"
    going_on.mkdir()
    with claimed(going_on):
        status, text = read(dashboard, f"/run/{going_on.name}")
        assert (status, f'data-events="/events/{going_on.name}"' in text) == (200, True)
        assert f'href="/run/{going_on.name}"' in read(dashboard, "/")[1]


def test_the_folder_of_the_project_is_not_told_to_everyone(dashboard: Dashboard) -> None:
    name = dashboard.pages.project.name
    assert name not in ask(dashboard, "/")[1]
    assert name in read(dashboard, "/")[1]


def test_a_foreign_host_or_origin_is_refused(dashboard: Dashboard) -> None:
    cookie = dashboard.gate.cookie.partition(";")[0]
    host = f"evil.test:{dashboard.server_port}"
    assert ask(dashboard, "/", Cookie=cookie, Host=host)[0].status == 403
    assert ask(dashboard, "/", Cookie=cookie, Origin="http://evil.test")[0].status == 403


def test_the_pages_of_a_project(dashboard: Dashboard) -> None:
    status, text = read(dashboard, "/")
    assert status == 200
    assert "20261121-000000-aaaa" in text
    assert 'href="/run/20261121-000001-bbbb"' in text
    assert 'href="/run/20261121-000000-aaaa"' not in text  # its folder is gone
    assert "shop/&lt;b&gt;[browser=a,size=1]" in text
    assert 'href="/group/shop%2F%3Cb%3E%5Bbrowser%3Da%2Csize%3D1%5D"' in text

    status, text = read(dashboard, "/groups")
    assert status == 200
    assert 'href="/group/shop%2F%3Cb%3E%5Bbrowser%3Da%2Csize%3D1%5D"' in text

    status, text = read(dashboard, "/compare")  # the last two runs
    assert status == 200
    assert '<option value="20261121-000001-bbbb" selected>' in text
    assert read(dashboard, "/compare?first=20261121-000000-aaaa&second=none")[0] == 404

    status, text = read(dashboard, "/group/shop%2F%3Cb%3E%5Bbrowser%3Da%2Csize%3D1%5D")
    assert status == 200
    assert "0 of 2 results did not pass" in text

    status, text = read(dashboard, "/run/20261121-000001-bbbb")
    assert status == 200
    assert "20261121-000001-bbbb" in text
    assert 'href="/compare?second=20261121-000001-bbbb"' in text


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/run/20261121-000000-aaaa",
        "/run/..%2f..%2fhistory.db",
        "/run/../../history.db",
        "/run/.",
        "/run/",
        "/group/none",
        "//evil.test/run/20261121-000001-bbbb",
        "/run/20261121-000001",
    ],
)
def test_what_does_not_exist_is_not_found(dashboard: Dashboard, path: str) -> None:
    assert read(dashboard, path)[0] == 404


def test_a_log_is_read_and_searched_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / ".testrium" / "runs" / "r"
    run_dir = folder / "shop"
    log = run_dir / "units" / "store" / "stdout.log"
    log.parent.mkdir(parents=True)
    log.write_text("<b>begin\n" + "line with password\n" * 60_000 + "the end\n")
    group = Group("shop", tmp_path / "shop", (), rules=Rules(mask=("password",)))
    end = End("store", EndCause.SELF, UnitState.FINISHED)
    result = GroupResult(Scenario("shop", group, ()), Verdict.FAIL, run_dir=run_dir, ends=(end,))
    run = RunResult("r", Verdict.FAIL, ExitCode.FAILURE, 1.0, (result,))
    write_report(run, folder / "report.json")
    pages = Pages(tmp_path / ".testrium", tmp_path)

    address = "/log/r?group=shop&unit=store&stream=stdout"
    assert f'href="{address.replace("&", "&amp;")}"' in pages.page("/run/r").document
    first = pages.page(address).document
    assert "&lt;b&gt;begin\nline with ***\n" in first
    assert "0.0 MB to 0.2 MB of 1.1 MB" in first
    assert "the end" not in first
    assert "the end\n</pre>" in pages.page(f"{address}&at=1000000").document
    found = pages.page(f"{address}&find=END").document
    assert "1 line with “END”" in found
    line = '<mark id="line">the end</mark>'
    assert line in pages.page(f"{address}&at=1138009&line=1140009").document
    assert "0 lines with “passw”" in pages.page(f"{address}&find=passw").document
    for other in (
        "/log/none?group=shop&unit=store",
        "/log/r?group=..&unit=store",
        "/log/r?group=shop&unit=..",
        "/log/r?group=shop&unit=setup",  # it wrote none
        "/log/r",
    ):
        assert pages.page(other).status == 404


def test_a_report_that_cannot_be_read_is_told(dashboard: Dashboard, state: Path) -> None:
    (state / "runs" / "20261121-000001-bbbb" / "report.json").write_text("{")
    status, text = read(dashboard, "/run/20261121-000001-bbbb")
    assert status == 500
    assert "cannot be read as a report" in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(dashboard: Dashboard, method: str) -> None:
    cookie = dashboard.gate.cookie.partition(";")[0]
    assert ask(dashboard, "/", method, Cookie=cookie)[0].status == 501


def test_pages_are_not_cached_and_cannot_be_framed(dashboard: Dashboard) -> None:
    cookie = dashboard.gate.cookie.partition(";")[0]
    response, text = ask(dashboard, "/", "HEAD", Cookie=cookie)
    assert (response.status, text) == (200, "")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in response.headers


def test_only_this_machine_can_reach_it(dashboard: Dashboard) -> None:
    assert dashboard.server_address[0] == "127.0.0.1"


def test_a_project_without_runs(tmp_path: Path) -> None:
    page = Pages(tmp_path / ".testrium", tmp_path).page("/")
    assert page.status == 200
    assert "No run is in the history" in page.document
    assert not (tmp_path / ".testrium").exists()  # who only looks makes nothing


def test_a_port_that_is_in_use_is_told(dashboard: Dashboard, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"port {dashboard.server_port}: Address already in use"):
        Dashboard(dashboard.server_port, Pages(tmp_path, tmp_path))


def test_what_is_flaky_and_what_is_usual_is_what_the_history_says(tmp_path: Path) -> None:
    """Also of a group that is not among the latest runs; on unknown code nothing is flaky."""
    state = tmp_path / ".testrium"
    clean = Revision("c0ffee", dirty=False)
    plan: list[tuple[str, Verdict, Revision | None]] = [
        ("old", Verdict.FAIL, clean),
        ("old", Verdict.PASS, clean),
    ]
    plan += [("unknown", verdict, None) for verdict in (Verdict.FAIL, Verdict.PASS) * 3]
    plan += [("new", Verdict.PASS, None)] * MOST_RUNS
    with History(state) as history:
        for number, (name, verdict, revision) in enumerate(plan):
            scenario = Scenario(name, Group(name, tmp_path / name, ()), ())
            group = GroupResult(scenario, verdict, duration_s=7.0 if number % 9 else 0.0)
            run = RunResult(
                f"r{number:03}", verdict, ExitCode.SUCCESS, 1.0, (group,), started_wall=1.7e9
            )
            history.append(run, revision=revision)
    (flaky,) = testrium.history.flaky(project=tmp_path)
    assert (flaky.group, flaky.last_failed) == ("old", "r000")

    pages = Pages(state, tmp_path)
    assert '<li>old <span class="soft">1 of 2 failed</span></li>' in pages.page("/").document
    document = pages.page("/groups").document
    assert document.count('<h2 id="flaky">Flaky</h2>') == 1
    row = '<tr><td>old</td><td class="number">1</td><td class="number">1</td><td></td><td><span'
    assert row in document
    assert 'href="/group/unknown"' not in document
    assert '<td class="number">7.00 s</td>' in document  # the median that `slow` has
    assert "It is flaky" not in pages.page("/group/new").document


def test_the_page_of_a_group_says_that_it_is_flaky(tmp_path: Path) -> None:
    state = tmp_path / ".testrium"
    with History(state) as history:
        scenario = Scenario("g", Group("g", tmp_path / "g", ()), (), mode="INFO")
        repeats = tuple(
            GroupResult(scenario._replace(repeat=number), verdict)
            for number, verdict in enumerate((Verdict.PASS, Verdict.FAIL, Verdict.PASS))
        )
        history.append(RunResult("r1", Verdict.FAIL, ExitCode.FAILURE, 1.0, repeats))
    told = "It is flaky: on the same code it passed 2 times and failed 1 time."
    assert told in Pages(state, tmp_path).page("/group/g%20@INFO").document


def raw(dashboard: Dashboard, request: bytes) -> bytes:
    """What comes back for these bytes, until the server closes."""
    with socket.create_connection(("127.0.0.1", dashboard.server_port), timeout=30) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET http://[ HTTP/1.1",
        b"GET /?token=%s HTTP/1.1 and more",
        b"GET / HTTP/9.x",
        b"nonsense",
        b"GET /",
        b"\x16\x03\x01\x02",
        b"GET " + b"/" * 70_000 + b" HTTP/1.1",
    ],
)
def test_a_malformed_request_is_refused_in_silence(
    dashboard: Dashboard, capfd: pytest.CaptureFixture[str], request_line: bytes
) -> None:
    host = f"Host: 127.0.0.1:{dashboard.server_port}".encode()
    answer = raw(dashboard, request_line + b"\r\n" + host + b"\r\nConnection: close\r\n\r\n")
    assert b"bbbb" not in answer
    assert answer.startswith(b"HTTP/1.0 4")
    assert read(dashboard, "/")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_an_address_that_cannot_be_read_is_not_found(dashboard: Dashboard) -> None:
    cookie = dashboard.gate.cookie.partition(";")[0].encode()
    host = f"127.0.0.1:{dashboard.server_port}".encode()
    request = b"GET http://[/ HTTP/1.0\r\nHost: %s\r\nCookie: %s\r\n\r\n" % (host, cookie)
    assert b" 404 " in raw(dashboard, request).split(b"\r\n", 1)[0]


def test_two_hosts_are_refused(dashboard: Dashboard) -> None:
    """Whichever comes last: what stands between may have looked at the other one."""
    cookie = dashboard.gate.cookie.partition(";")[0].encode()
    own = f"127.0.0.1:{dashboard.server_port}".encode()
    for hosts in ((own, b"evil.test"), (b"evil.test", own), (own, own)):
        lines = b"".join(b"Host: %s\r\n" % host for host in hosts)
        request = b"GET / HTTP/1.0\r\n%sCookie: %s\r\n\r\n" % (lines, cookie)
        assert b" 403 " in raw(dashboard, request).split(b"\r\n", 1)[0]


def test_a_client_that_resets_leaves_no_traceback(
    dashboard: Dashboard, capfd: pytest.CaptureFixture[str]
) -> None:
    cookie = dashboard.gate.cookie.partition(";")[0].encode()
    host = f"127.0.0.1:{dashboard.server_port}".encode()
    for sent in (b"GET", b"GET / HTTP/1.0\r\nHost: %s\r\nCookie: %s\r\n\r\n" % (host, cookie)):
        client = socket.create_connection(("127.0.0.1", dashboard.server_port))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(sent)
        client.close()  # with SO_LINGER of 0 s it is reset
    assert read(dashboard, "/")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_five_hundred_connections_at_once_are_answered(dashboard: Dashboard) -> None:
    clients = [
        socket.create_connection(("127.0.0.1", dashboard.server_port), timeout=30)
        for _ in range(500)
    ]
    try:
        for client in clients:
            client.sendall(b"HEAD / HTTP/1.0\r\n\r\n")
        answers = [client.recv(100).split(b"\r\n", 1)[0] for client in clients]
    finally:
        for client in clients:
            client.close()
    assert answers == [b"HTTP/1.0 403 Forbidden"] * 500
