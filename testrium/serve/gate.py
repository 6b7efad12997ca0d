"""Who may read the dashboard: who has its link, from this machine, and no other web page.

Every process of the machine and every page in the user's browser can reach a port of the loopback
interface. So a request needs the token, which only the link has; it must name this host, because a
foreign name that resolves to 127.0.0.1 (DNS rebinding) names itself; and a page that sends one
names its origin, which must be ours.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from enum import Enum
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit


class Answer(Enum):
    """What becomes of a request."""

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
        except ValueError:  # it is no address
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
