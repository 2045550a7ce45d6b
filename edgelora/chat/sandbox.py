"""Where chat templates run: Jinja's immutable sandbox, set up as Transformers does, with limits.

A template comes with somebody's weights, so it is untrusted code. The sandbox keeps it from Python's internals;
the limits keep it from looping, growing numbers or writing without end. What templates may use follows
``transformers/utils/chat_template_utils.py``: trimmed blocks, loop controls, ``raise_exception``,
``strftime_now``, ``tojson`` without HTML escapes, ``{% generation %}`` blocks.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jinja2 import Template
    from jinja2.parser import Parser
    from jinja2.runtime import Context

MAX_OUTPUT = 1 << 22
"""Characters a template may write."""
MAX_STEPS = 100_000
"""Rounds of all loops and macros of one rendering together."""
MAX_PRODUCT = 1 << 16
"""Length of a repeated string or list, bits of a product or power."""


class TemplateLimitError(TemplateRuntimeError):
    """A template that went past one of the limits."""


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox of one template. Not for use by several threads at once: it counts the steps of a rendering."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlock, loopcontrols])
        self.filters["tojson"] = _to_json
        self.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now, namespace=SafeNamespace)
        self._steps = 0

    def compile_limited(self, source: str) -> Template:
        """The template of ``source``, its loops and macros counted. Raises what Jinja raises."""
        tree = self.parse(source)
        repeated: Iterator[nodes.For | nodes.Macro | nodes.CallBlock]
        repeated = tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock))
        for node in repeated:
            count = nodes.Call(nodes.EnvironmentAttribute("count_step"), [], [], None, None)
            node.body.insert(0, nodes.ExprStmt(count).set_lineno(node.lineno))
        tree.set_environment(self)
        return self.template_class.from_code(self, self.compile(tree), self.make_globals(None))

    def render_limited(self, template: Template, variables: Mapping[str, Any]) -> str:
        """What ``template`` writes. Raises TemplateLimitError at a limit, and whatever a template can raise."""
        self._steps = 0
        written: list[str] = []
        size = 0
        for piece in template.generate(**variables):
            size += len(piece)
            if size > MAX_OUTPUT:
                raise TemplateLimitError(f"it writes more than {MAX_OUTPUT:,} characters")
            written.append(piece)
        return "".join(written)

    def count_step(self) -> None:
        """Called by the compiled template in every round of a loop and every call of a macro."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TemplateLimitError(f"its loops take more than {MAX_STEPS:,} steps")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Multiply or raise to a power, if the result stays small."""
        if _product_size(operator, left, right) > MAX_PRODUCT:
            raise TemplateLimitError(f"it computes something larger than {MAX_PRODUCT:,} with {operator!r}")
        return super().call_binop(context, operator, left, right)


class GenerationBlock(Extension):
    """``{% generation %}`` marks what the assistant says, for training; here its body is simply written."""

    tags = {"generation"}  # noqa: RUF012 - the name and kind are Jinja's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements between the two tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class SafeNamespace(Namespace):
    """Jinja's ``namespace()`` without underscore names, through which objects could be made to act as others."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise SecurityError(f"the name {name!r} is not allowed in a namespace")
        super().__setitem__(name, value)


def _product_size(operator: str, left: Any, right: Any) -> int:
    """How large ``left operator right`` gets, without computing it: items of a sequence, bits of a whole number."""
    if operator == "**":
        return left.bit_length() * abs(right) if isinstance(left, int) and isinstance(right, int) else 0
    for sequence, factor in ((left, right), (right, left)):
        if hasattr(sequence, "__len__") and isinstance(factor, int):
            return len(sequence) * factor
    return left.bit_length() + right.bit_length() if isinstance(left, int) and isinstance(right, int) else 0


def _raise_exception(message: str) -> NoReturn:
    raise TemplateRuntimeError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The ``tojson`` that templates are written for: Jinja's own escapes HTML and sorts keys."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
