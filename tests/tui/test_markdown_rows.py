"""Markdown as rows, all at once and as it comes."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from edgelora.tui.markdown_rows import GrowingMarkdown

SAMPLE = """# Title

A **bold** and *slanted* `word` [link](http://example.org).
The next line.

- one
- two
  - nested
3. three

> quoted
> more

```python
def f(x):
    return x
```

| a | long |
|---|---|
| 1 | 2 |

---
end"""
PIECES = st.sampled_from(
    ["# ", "word", " ", "\n", "\n\n", "**", "`", "```\n", "- ", "  ", "1. ", "> ", "|", "---", "\\", "é", "漢"]
)


def rows(*pieces: str) -> list[tuple[str, str, str]]:
    markdown = GrowingMarkdown()
    for piece in pieces:
        markdown.append(piece)
    return [(row.first, row.rest, row.content.plain) for row in markdown.rows]


def test_every_kind_of_block() -> None:
    shown = [first + text for first, _, text in rows(SAMPLE)]
    assert shown == [
        "Title",
        "",
        "A bold and slanted word link.\nThe next line.",
        "",
        "• one",
        "• two",
        "  • nested",
        "",
        "3. three",
        "",
        "▌ quoted\nmore",
        "",
        "def f(x):",
        "    return x",
        "",
        "a │ long",
        "1 │ 2   ",
        "",
        "───",
        "",
        "end",
    ]


def test_lines_wrap_under_their_text() -> None:
    markdown = GrowingMarkdown()
    markdown.append("- one two three\n\n> four five six")
    lines = [line.plain for row in markdown.rows for line in row.wrapped(8)]
    assert lines == ["• one", "  two", "  three", "", "▌ four", "▌ five", "▌ six"]


@given(st.lists(PIECES, max_size=30))
@example(["word", "\n", "**", "**", "# "])
def test_what_comes_bit_by_bit_is_read_as_the_whole(pieces: list[str]) -> None:
    assert rows(*pieces) == rows("".join(pieces))
