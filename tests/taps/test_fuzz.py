"""Nothing that passes a link takes a decoder down: it reads on, or says why it cannot."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from testrium.declared.taps import PROTOCOLS
from testrium.taps import REQUEST, RESPONSE, UndecodableError, decoder_of
from testrium.variables import value_at
from tests.taps.conversations import CONVERSATIONS, Piece

SIDES = st.sampled_from([REQUEST, RESPONSE])


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, list[Piece]]:
    """A conversation of which some bytes were changed, left out, repeated or cut elsewhere."""
    protocol = draw(st.sampled_from(sorted(CONVERSATIONS)))
    pieces: list[Piece] = list(CONVERSATIONS[protocol]())
    for _ in range(draw(st.integers(1, 4))):
        number = draw(st.integers(0, len(pieces) - 1))
        side, data = pieces[number]
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 4)))
        change = draw(st.binary(max_size=6))
        pieces[number] = side, data[:at] + change + data[end:]
        if draw(st.booleans()):
            pieces.insert(draw(st.integers(0, len(pieces))), pieces[number])
    return protocol, pieces


@st.composite
def noise(draw: st.DrawFn) -> tuple[str, list[Piece]]:
    """Bytes that mean nothing, perhaps after the beginning of a conversation."""
    protocol = draw(st.sampled_from(["", *sorted(CONVERSATIONS)]))
    known: list[Piece] = CONVERSATIONS[protocol]() if protocol else []
    first = known[: draw(st.integers(0, len(known)))]
    return protocol, [*first, *draw(st.lists(st.tuples(SIDES, st.binary(max_size=200))))]


@settings(max_examples=100)
@given(st.one_of(damaged(), noise()))
def test_decoders_read_on_or_say_why_not(conversation: tuple[str, list[Piece]]) -> None:
    protocol, pieces = conversation
    decoder = decoder_of(protocol)()
    known = PROTOCOLS[protocol].fields if protocol else None
    reason = "read to its end"
    try:
        for side, data in pieces:
            for message in decoder.feed(data, side):
                assert message.side in (REQUEST, RESPONSE)
                assert known is None or set(message.fields) <= set(known)
    except UndecodableError as error:
        reason = str(error)
    assert reason


@given(st.text(max_size=60), st.text(alphabet="a.0{[", max_size=8))
def test_a_path_leads_to_a_value_or_nowhere(text: str, path: str) -> None:
    with contextlib.suppress(KeyError):
        value_at({"a": text, "b": [text]}, path)
