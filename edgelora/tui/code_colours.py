"""The colours of code, all of them names from the theme, so that a change of theme needs no new highlighting."""

from __future__ import annotations

from pygments.token import Token  # type: ignore[import-untyped]
from textual.highlight import HighlightTheme, TokenType

from edgelora.tui.theme import QUIET


class CodeColours(HighlightTheme):
    """What pygments tells apart, in a few colours that every theme has."""

    STYLES: dict[TokenType, str] = {  # noqa: RUF012 - as its base has it
        Token.Comment: f"italic {QUIET}",
        Token.Generic.Deleted: "$text-error",
        Token.Generic.Emph: "italic",
        Token.Generic.Heading: "bold $text-primary",
        Token.Generic.Inserted: "$text-success",
        Token.Generic.Strong: "bold",
        Token.Generic.Subheading: "$text-primary",
        Token.Keyword: "bold $text-secondary",
        Token.Literal.Number: "$text-warning",
        Token.Literal.String: "$text-success",
        Token.Literal.String.Doc: "italic $text-success",
        Token.Name.Attribute: "$text-accent",
        Token.Name.Builtin: "$text-secondary",
        Token.Name.Class: "bold $text-primary",
        Token.Name.Decorator: "$text-accent",
        Token.Name.Exception: "$text-secondary",
        Token.Name.Function: "$text-primary",
        Token.Name.Tag: "bold $text-primary",
        Token.Operator.Word: "bold $text-secondary",
    }
