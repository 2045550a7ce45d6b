from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgelora.engine.text import TextStream


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    found, at = [], 0
    for size in [*sizes, len(data)]:
        found.append(data[at : at + size])
        at += size
    return found


@given(text=st.text(), sizes=st.lists(st.integers(1, 5)))
def test_text_arrives_whole_however_its_bytes_are_cut(text: str, sizes: list[int]) -> None:
    stream = TextStream()
    shown = [stream.feed(piece) for piece in pieces(text.encode(), sizes)]
    assert "".join(shown) + stream.finish() == text
    assert not any("\ufffd" in part for part in shown if "\ufffd" not in text)


@given(
    text=st.text("ab<|", max_size=30),
    sizes=st.lists(st.integers(1, 5)),
    stop=st.lists(st.text("ab<|", min_size=1, max_size=4), max_size=3),
)
def test_a_stop_string_ends_the_text_before_it(text: str, sizes: list[int], stop: list[str]) -> None:
    stream = TextStream(tuple(stop))
    shown = ""
    for piece in pieces(text.encode(), sizes):
        shown += stream.feed(piece)
        assert not any(s in shown for s in stop)
    stopped = stream.stopped
    shown += stream.finish()
    assert stopped == any(s in text for s in stop)
    assert text.startswith(shown)
    if not stopped:
        assert shown == text


def test_bytes_that_are_no_text_become_a_replacement_character() -> None:
    stream = TextStream()
    assert stream.feed(b"a\xff") + stream.feed(b"b") + stream.finish() == "a\ufffdb"
    cut = TextStream()
    assert cut.feed(b"\xe2\x82") == ""
    assert cut.finish() == "\ufffd"
