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
    [
        "# ",
        "word",
        " ",
        "\n",
        "\n\n",
        "**",
        "`",
        "```\n",
        "- ",
        "  ",
        "1. ",
        "> ",
        "|",
        "---",
        "\\",
        "é",
        "漢",
        "\t",
        "\r",
        "\x0b",
    ]
)


def rows(*pieces: str) -> list[tuple[str, str, str]]:
    markdown = GrowingMarkdown()
    for piece in pieces:
        markdown.append(piece)
    return [(row.first, row.rest, row.text) for row in markdown.rows]


def said(*pieces: str) -> list[str]:
    return [first + text for first, _, text in rows(*pieces)]


def lines(text: str, width: int) -> list[str]:
    """As they stand on the screen."""
    markdown = GrowingMarkdown()
    markdown.append(text)
    laid_out = [line for row in markdown.rows for line in row.lines(width)]
    return ["".join(piece.content.plain for piece in line.pieces).rstrip() for line in laid_out]


def test_every_kind_of_block() -> None:
    assert said(SAMPLE) == [
        "Title",
        "",
        "A bold and slanted word link.",
        "The next line.",
        "",
        "• one",
        "• two",
        "  ◦ nested",
        "",
        "3. three",
        "",
        "▌ quoted",
        "▌ more",
        "",
        "def f(x):",
        "    return x",
        "",
        "a │ long",
        "1 │ 2",
        "",
        "",
        "",
        "end",
    ]


def test_what_is_in_items_and_quotes_is_kept_apart() -> None:
    text = "9. one\n\n   more\n\n       code\n\n10. two\n\n> first\n>\n> second\n>\n> - a\n> - b"
    assert said(text) == [
        " 9. one",
        "    ",
        "    more",
        "    ",
        "    code",
        "",
        "10. two",
        "",
        "▌ first",
        "▌ ",
        "▌ second",
        "▌ • a",
        "▌ • b",
    ]


def test_lines_wrap_under_their_text() -> None:
    wrapped = lines("- one two three\n\n> four five six", 8)
    assert wrapped == ["• one", "  two", "  three", "", "▌ four", "▌ five", "▌ six"]


def test_a_table_is_as_wide_as_there_is_room() -> None:
    table = "| name | what it says |\n|---|--:|\n| a | word by word |\n| b | no |"
    assert lines(table, 40) == [
        "name │ what it says",
        "─────┼─────────────",
        "a    │ word by word",
        "b    │           no",
    ]
    assert lines(table, 14) == [
        "name │ what it",
        "     │    says",
        "─────┼────────",
        "a    │ word by",
        "     │    word",
        "─────┼────────",
        "b    │      no",
    ]
    assert lines(table, 5) == ["name", "│", "what", "it", "says", "a │", "word", "by", "word", "b │", "no"]


def test_code_is_copied_with_its_tabs_and_without_what_is_around_it() -> None:
    markdown = GrowingMarkdown()
    markdown.append("- all:\n\n  ```make\n  all:\n  \tcc -o a a.c\tb.c\n  ```")
    *_, rule, command = markdown.rows
    assert (rule.text, command.text) == ("all:", "    cc -o a a.c b.c")
    assert command.copied(0, len(command.text)) == "\tcc -o a a.c\tb.c"
    assert command.copied(4, 6) == "cc"


def test_what_would_do_something_to_the_terminal_is_shown_instead() -> None:
    assert said("a\x1b[2Jb\x9bc\r\nd\te\x0bf") == ["a\ufffd[2Jb\ufffdc", "d e\ufffdf"]


@given(st.lists(PIECES, max_size=30))
@example(["word", "\n", "**", "**", "# "])
def test_what_comes_bit_by_bit_is_read_as_the_whole(pieces: list[str]) -> None:
    assert rows(*pieces) == rows("".join(pieces))
