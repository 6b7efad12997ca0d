"""Who may read the dashboard: who has its link, from this machine, and no other web page.

Every process of the machine and every page in the user's browser can reach a port of the loopback
interface. So a request needs the token, which only the link has; it must name this host, because a
foreign name that resolves to 127.0.0.1 (DNS rebinding) names itself; and a page that sends one
names its origin, which must be ours.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Iterator, Mapping
from enum import Enum
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from testrium.errors import UsageError
from testrium.serve.pages import Page, Pages


class Answer(Enum):
    """The decision on a request."""

    REFUSED = 403
    SIGNED_IN = 303  # the link was opened: the token goes into a cookie, and out of the address
    ALLOWED = 200


class Gate:
    """Decides on requests to the dashboard on one port. `token` is new for every start."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        # Cookies are not kept apart by port: two dashboards must not sign each other out.
        self._cookie = f"testrium-{port}"

    @property
    def link(self) -> str:
        """The address that signs in."""
        return f"http://{self._hosts[0]}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The value of `Set-Cookie`: no script reads it, no other site's request carries it."""
        return f"{self._cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"

    def ask(self, target: str, headers: Mapping[str, str]) -> Answer:
        """Whether a request may be answered.

        Args:
            target: path and query.
            headers: by name, in lower case; where one came twice, all of it, joined by commas.
        """
        if headers.get("host", "").lower() not in self._hosts:
            return Answer.REFUSED
        origin = headers.get("origin")
        if origin is not None and origin not in [f"http://{host}" for host in self._hosts]:
            return Answer.REFUSED
        if self._is_token(self._in_cookie(headers.get("cookie", ""))):
            return Answer.ALLOWED
        try:
            given = parse_qs(urlsplit(target).query).get("token", [""])[0]
        except ValueError:  # it is not an address
            return Answer.REFUSED
        return Answer.SIGNED_IN if self._is_token(given) else Answer.REFUSED

    def _in_cookie(self, text: str) -> str:
        try:
            morsel = SimpleCookie(text).get(self._cookie)
        except CookieError:
            return ""
        return "" if morsel is None else morsel.value

    def _is_token(self, text: str) -> bool:
        """In constant time: how long it takes tells nothing about the token."""
        return hmac.compare_digest(text.encode("utf-8", "replace"), self.token.encode())


ADDRESS = "127.0.0.1"

#: Seconds that a browser may take to say what it wants.
_PATIENCE_S = 30

#: How many pages may watch runs at once: each takes a thread.
_MOST_STREAMS = 64

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # each page has the rest of its policy
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Dashboard(ThreadingHTTPServer):
    """The server; `gate.link` is what opens it."""

    daemon_threads = True
    #: Connections that wait until they are taken: a browser that opens many must not be reset.
    request_queue_size = 1024

    def __init__(self, port: int, pages: Pages) -> None:
        """Listen on a port; 0 takes a free one. Raises UsageError where it is in use."""
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"cannot listen on port {port}: {error.strerror};"
                " choose another with --port, or leave it out for one that is free"
            ) from error
        self.gate = Gate(self.server_port)
        self.pages = pages
        self.streams = threading.BoundedSemaphore(_MOST_STREAMS)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: a client that resets its connection is not an event for the user."""


class _Handler(BaseHTTPRequestHandler):
    server: Dashboard
    timeout = _PATIENCE_S
    server_version = "testrium"
    sys_version = ""
    #: Of a request line that names none: else the answer to a malformed one has no status.
    default_request_version = "HTTP/1.0"

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """The terminal is the user's."""

    def _answer(self, *, with_body: bool) -> None:
        # All that came: of two Host headers neither may be the one that counts.
        headers = {name.lower(): ", ".join(self.headers.get_all(name, ())) for name in self.headers}
        match self.server.gate.ask(self.path, headers):
            case Answer.ALLOWED if with_body and (events := self.server.pages.events(self.path)):
                self._stream(events)
            case Answer.ALLOWED:
                self._send(self.server.pages.page(self.path), with_body)
            case Answer.SIGNED_IN:
                self.send_response(Answer.SIGNED_IN.value)
                # Never to another host, as `//evil.test/` would lead.
                self.send_header("Location", "/" + urlsplit(self.path).path.lstrip("/\\"))
                self.send_header("Set-Cookie", self.server.gate.cookie)
                self._finish(b"", with_body)
            case Answer.REFUSED:
                text = "open the link that testrium serve has printed"
                self._send(self.server.pages.told(Answer.REFUSED.value, text), with_body)

    def send_error(
        self,
        code: int,
        message: str | None = None,
        explain: str | None = None,  # noqa: ARG002 - its name there
    ) -> None:
        """Answer an invalid request with a page, as all others."""
        self.close_connection = True
        text = message or self.responses.get(code, ("", ""))[0]
        self._send(self.server.pages.told(code, text), with_body=self.command != "HEAD")

    def _send(self, page: Page, with_body: bool) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self._finish(page.document.encode("utf-8", "backslashreplace"), with_body)

    def _stream(self, events: Iterator[str]) -> None:
        """Send all events, or until the page is closed."""
        if not self.server.streams.acquire(blocking=False):
            self._send(self.server.pages.told(503, "too many pages are open: close some"), True)
            return
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            for event in events:
                self.wfile.write(event.encode())
                self.wfile.flush()
        except OSError:  # the page was closed
            self.close_connection = True
        finally:
            self.server.streams.release()

    def _finish(self, body: bytes, with_body: bool) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
