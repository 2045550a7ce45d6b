"""Whose chat template a prompt is written with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fake_engine import CHATML, base_info

from edgelora.chat.choice import choose_template
from edgelora.errors import TemplateError

if TYPE_CHECKING:
    from pathlib import Path

ONE, OTHER = "{{ messages[0].content }}1", "{{ messages[0].content }}2"


def test_the_adapters_template_comes_before_the_bases() -> None:
    choice = choose_template(None, (ONE, ONE), base_info())
    assert (choice.template.source, choice.notice) == (ONE, "")


def test_adapters_that_disagree_leave_it_to_the_base_and_this_is_said() -> None:
    choice = choose_template(None, (ONE, OTHER), base_info())
    assert choice.template.source == CHATML
    assert "different chat templates" in choice.notice


@pytest.mark.parametrize("carried", [(), (ONE, OTHER)])
def test_without_any_template_a_plain_one_is_used_and_this_is_said(carried: tuple[str, ...]) -> None:
    choice = choose_template(None, carried, base_info(chat_template=None))
    assert choice.template.origin == "plain (built in)"
    assert "--template" in choice.notice


def test_an_explicit_template_wins(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("é{{ messages[0].content }}", encoding="utf-8")
    assert choose_template(str(file), (ONE,), base_info()).template.source == "é{{ messages[0].content }}"
    assert choose_template("llama3", (ONE,), base_info()).template.stop == ("<|eot_id|>",)


def test_a_template_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match=r"no chat template 'chatlm'.*\n.*chatml"):
        choose_template("chatlm", (), base_info())
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TemplateError, match="no chat template"):
        choose_template(str(binary), (), base_info())
