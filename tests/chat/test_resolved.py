"""What a selection brings with it."""

from __future__ import annotations

from edgelora.chat.resolved import resolve
from tests.tui.fake_library import FakeLibrary, entry


def test_what_the_selected_adapters_carry() -> None:
    library = FakeLibrary(
        [
            entry("one", chat_template="{{ 1 }}", eos_tokens=("<a>", "<b>"), system_prompt="Be kind."),
            entry("two", eos_tokens=("<b>", "<c>")),
            entry("three", chat_template="{{ 3 }}", eos_tokens=("<d>",), system_prompt="Be brief."),
        ]
    )
    resolved = resolve(library, "one:0.5+two")  # type: ignore[arg-type]
    assert [file.name for file in resolved.files] == ["one", "two"]
    assert resolved.templates == ("{{ 1 }}",)
    assert resolved.end_tokens == ("<a>", "<b>", "<c>")
    assert resolved.system_prompts == ("Be kind.",)
