from __future__ import annotations

import pytest

from testrium.serve.server import Answer, Gate

GATE = Gate(8123, "secret-token")
HOST = {"host": "127.0.0.1:8123"}
COOKIE = {"cookie": "other=1; testrium-8123=secret-token"}


def test_the_link_signs_in() -> None:
    assert GATE.link == "http://127.0.0.1:8123/?token=secret-token"
    assert GATE.ask("/?token=secret-token", HOST) is Answer.SIGNED_IN
    assert GATE.cookie == "testrium-8123=secret-token; Path=/; HttpOnly; SameSite=Strict"
    assert GATE.ask("/", HOST | COOKIE) is Answer.ALLOWED
    assert GATE.ask("/run/x", {"host": "LOCALHOST:8123"} | COOKIE) is Answer.ALLOWED


@pytest.mark.parametrize(
    "target", ["/", "/?token=", "/?token=secret-toke", "/?token=secret-token-", "/?other=1", "/#x"]
)
def test_without_the_token_nothing_is_told(target: str) -> None:
    assert GATE.ask(target, HOST) is Answer.REFUSED


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "testrium-8123=",
        "testrium-8123=secret",
        "testrium-9=secret-token",
        "=;;=",
        "\x00",
        "ü=ü",
    ],
)
def test_a_cookie_that_is_not_ours_opens_nothing(cookie: str) -> None:
    assert GATE.ask("/", HOST | {"cookie": cookie}) is Answer.REFUSED


@pytest.mark.parametrize(
    "host", ["", "evil.test:8123", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.test:8123"]
)
def test_a_foreign_host_is_refused(host: str) -> None:
    """A name of the attacker's that resolves to 127.0.0.1 still names itself."""
    assert GATE.ask("/", {"host": host} | COOKIE) is Answer.REFUSED
    assert GATE.ask("/?token=secret-token", {"host": host}) is Answer.REFUSED


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.test", "https://127.0.0.1:8123", "http://127.0.0.1:8124", ""]
)
def test_a_foreign_origin_is_refused(origin: str) -> None:
    assert GATE.ask("/", HOST | COOKIE | {"origin": origin}) is Answer.REFUSED
    assert GATE.ask("/?token=secret-token", HOST | {"origin": origin}) is Answer.REFUSED


def test_our_own_origin_is_not() -> None:
    own = {"origin": "http://127.0.0.1:8123"}
    assert GATE.ask("/", HOST | COOKIE | own) is Answer.ALLOWED


def test_every_start_has_a_token_of_its_own() -> None:
    tokens = {Gate(1).token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 43  # 256 bits
