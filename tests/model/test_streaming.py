"""Streamed pieces are whole characters and join to the text of the whole."""

from hypothesis import given
from hypothesis import strategies as st

from yanmo.model.streaming import TextStream, text_of

# Single bytes, pieces of characters, several characters, a control token without text.
PIECES = ["研墨".encode()[:4], "研墨".encode()[4:], "😀".encode(), b""]
TABLE = [bytes([value]) for value in range(256)] + PIECES


@given(st.lists(st.integers(0, len(TABLE) + 3)))
def test_pieces_join_to_the_whole(ids: list[int]) -> None:
    stream = TextStream(TABLE)
    pieces = [stream.push(token) for token in ids]
    assert "".join(pieces) == text_of(ids, TABLE)
    data = b"".join(TABLE[token] for token in ids if token < len(TABLE))
    assert "\ufffd" not in "".join(pieces) or "\ufffd".encode() in data


@given(st.text())
def test_text_survives_bytewise(text: str) -> None:
    ids = list(text.encode("utf-8", "ignore"))
    stream = TextStream(TABLE)
    assert "".join(stream.push(token) for token in ids) == bytes(ids).decode()


def test_a_character_comes_when_it_is_whole() -> None:
    stream = TextStream(TABLE)
    assert [stream.push(token) for token in (256, 259, 257, *"墨".encode())] == ["研", "", "墨", "", "", "墨"]
