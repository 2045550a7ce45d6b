"""The self-check of the tensor layout finds every wrong offset."""

from __future__ import annotations

import pytest

from edgelora.native import layout


def test_the_offsets_are_those_of_this_build() -> None:
    assert layout.check() == ""


@pytest.mark.parametrize("field", ["TYPE", "NE", "NB", "OP", "SRC0", "SRC1", "SRC2", "DATA", "NAME"])
def test_a_wrong_offset_is_named(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    monkeypatch.setattr(layout, field, getattr(layout, field) + 8)
    layout.check.cache_clear()
    try:
        assert "ggml_tensor differs in" in layout.check()
    finally:
        layout.check.cache_clear()
