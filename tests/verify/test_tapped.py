"""Rules of taps that are guessed from messages."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from testrium.verify.tapped import TappedMessage, guess_taps, taps_as_toml


def redis(t_ns: int, client: str | None, side: str, **fields: Any) -> TappedMessage:
    return TappedMessage(t_ns, "redis.tcp", "redis", client, side, fields)


def queue(number: int) -> list[TappedMessage]:
    """An order on its way, between commands that are about none."""
    order = json.dumps({"id": f"o{number}", "size": 3, "note": "a" * 300})
    pushed: dict[str, Any] = {"command": "RPUSH", "key": "orders", "args": ["orders", order]}
    popped: dict[str, Any] = {"command": "BLPOP", "key": "orders", "args": ["orders", "5"]}
    at = 10 * number
    return [
        redis(at, "shop", "request", **pushed),
        redis(at + 1, "shop", "response", **pushed, reply=number),
        redis(at + 2, "worker", "request", **popped),
        redis(at + 3, "worker", "response", **popped, reply=["orders", order]),
        redis(at + 4, "shop", "request", command="CLIENT", args=["ID", f"o{number}"]),
        redis(at + 5, None, "request", **pushed),
    ]


def test_the_field_that_several_kinds_of_messages_share_is_the_key() -> None:
    guesses = guess_taps([message for number in range(5) for message in queue(number)])
    assert [(each.client, each.step, each.side, each.type, each.key) for each in guesses] == [
        ("shop", "rpush-orders", "request", "Send", "args.1.id"),
        ("worker", "blpop-orders", "response", "Receive", "reply.1.id"),
    ]
    assert [event.key for event in guesses[1].events] == [f"o{number}" for number in range(5)]


def test_the_proposal_is_toml_that_can_be_pasted() -> None:
    guesses = guess_taps([message for number in range(3) for message in queue(number)])
    (tap,) = tomllib.loads(taps_as_toml(guesses))["taps"]
    assert (tap["link"], tap["protocol"]) == ("redis.tcp", "redis")
    assert tap["probes"][0] == {
        "match": {"command": "RPUSH", "key": "orders"},
        "at": "shop:rpush-orders",
        "type": "Send",
        "key": "${args.1.id}",
    }
    assert tap["probes"][1]["on"] == "response"


def test_paths_that_differ_in_numbers_are_one_kind() -> None:
    asked = [
        TappedMessage(
            2 * number,
            "api.http",
            "http",
            "shop",
            "request",
            {"method": "GET", "path": f"/orders/{number}", "headers": {"x-id": f"k{number}"}},
        )
        for number in range(3)
    ]
    answered = [
        TappedMessage(
            2 * number + 1,
            "api.http",
            "http",
            "shop",
            "response",
            {"method": "GET", "path": f"/orders/{number}", "body": f'{{"id": "k{number}"}}'},
        )
        for number in range(3)
    ]
    guesses = guess_taps([*asked, *answered])
    assert [dict(each.match)["path"] for each in guesses] == [r"/orders/\d+"] * 2
    assert [each.key for each in guesses] == ["headers.x-id", "body.id"]


def test_nothing_is_proposed_where_nothing_is_shared() -> None:
    assert guess_taps([redis(1, "shop", "request", command="GET", key="a", args=["a"])]) == ()
