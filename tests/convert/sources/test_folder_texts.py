"""What was saved beside an adapter travels with it: the right one of several, and nothing that is damaged."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from edgelora_convert.problems import Problems
from edgelora_convert.source import FolderTexts
from edgelora_convert.sources.folder_texts import MAX_TEXT_BYTES, texts_of

if TYPE_CHECKING:
    from pathlib import Path

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def texts(folder: Path, files: dict[str, Any]) -> tuple[FolderTexts, list[str]]:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    warnings = Problems("x")
    return texts_of(folder, warnings), warnings.lines()


def test_an_empty_folder(tmp_path: Path) -> None:
    assert texts(tmp_path, {}) == (FolderTexts(), [])


NAMED = [{"name": "rag", "template": "R"}, {"name": "default", "template": "D"}]
TEMPLATES: dict[str, tuple[dict[str, Any], str | None]] = {
    "own file": ({"chat_template.jinja": "J"}, "J"),
    "own file first": ({"chat_template.jinja": "J", "tokenizer_config.json": {"chat_template": "T"}}, "J"),
    "tokenizer": ({"tokenizer_config.json": {"chat_template": "T"}}, "T"),
    "several": ({"tokenizer_config.json": {"chat_template": NAMED}}, "D"),
    "several, no default": ({"tokenizer_config.json": {"chat_template": NAMED[:1]}}, None),
    "additional ones are for other uses": ({"additional_chat_templates/rag.jinja": "R"}, None),
    "processor": ({"chat_template.json": {"chat_template": "P"}}, "P"),
    "empty": ({"chat_template.jinja": "", "tokenizer_config.json": {"chat_template": ""}}, None),
    "no text": ({"tokenizer_config.json": {"chat_template": 7}}, None),
    "odd entries": ({"tokenizer_config.json": {"chat_template": [None, 7, {"name": "default", "template": 7}]}}, None),
    "too large": ({"chat_template.jinja": "x" * (MAX_TEXT_BYTES + 1)}, None),
}


@pytest.mark.parametrize("case", TEMPLATES)
def test_chat_templates(tmp_path: Path, case: str) -> None:
    files, expected = TEMPLATES[case]
    assert texts(tmp_path, files)[0].chat_template == expected


DECODER = {"7": {"content": "<|im_end|>"}, "8": {"content": "<|eot|>"}, "x": {"content": "?"}, "9": 5}
END_TOKENS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "text": ({"tokenizer_config.json": {"eos_token": "</s>"}}, ("</s>",)),
    "object": ({"tokenizer_config.json": {"eos_token": {"content": "</s>", "lstrip": False}}}, ("</s>",)),
    "map": ({"special_tokens_map.json": {"eos_token": {"content": "</s>"}}}, ("</s>",)),
    "both say the same": (
        {"tokenizer_config.json": {"eos_token": "</s>"}, "special_tokens_map.json": {"eos_token": "</s>"}},
        ("</s>",),
    ),
    "numbers": (
        {
            "tokenizer_config.json": {"eos_token": "<|im_end|>", "added_tokens_decoder": DECODER},
            "generation_config.json": {"eos_token_id": [8, 7, 99]},
        },
        ("<|im_end|>", "<|eot|>"),
    ),
    "a number": (
        {"added_tokens.json": {"<|eot|>": 8, "x": "y"}, "generation_config.json": {"eos_token_id": 8}},
        ("<|eot|>",),
    ),
    "numbers that nothing explains": ({"generation_config.json": {"eos_token_id": [2, True, "x"]}}, ()),
    "odd": ({"tokenizer_config.json": {"eos_token": ["</s>"], "added_tokens_decoder": [1]}}, ()),
    "long": ({"tokenizer_config.json": {"eos_token": "x" * 1000}}, ()),
}


@pytest.mark.parametrize("case", END_TOKENS)
def test_end_tokens(tmp_path: Path, case: str) -> None:
    files, expected = END_TOKENS[case]
    assert texts(tmp_path, files)[0].eos_tokens == expected


SWIFT = {"model_type": "qwen2", "template": "qwen2_5"}
PROMPTS: dict[str, tuple[dict[str, Any], str | None]] = {
    "front matter": ({"README.md": "---\nsystem_prompt: Be brief.\n---\nsystem_prompt: no\n"}, "Be brief."),
    "quoted": ({"README.md": '---\nsystem_prompt: "Be \\"brief\\"."\n---\n'}, 'Be "brief".'),
    "block": ({"README.md": "---\nsystem_prompt: |\n  Be brief.\n---\n"}, None),
    "swift": ({"args.json": {**SWIFT, "system": "Be kind."}}, "Be kind."),
    "people before tools": (
        {"README.md": "---\nsystem_prompt: Be brief.\n---\n", "args.json": {**SWIFT, "system": "Be kind."}},
        "Be brief.",
    ),
    "swift without": ({"args.json": {**SWIFT, "system": None}}, None),
    "another tool's arguments": ({"args.json": {"system": "linux"}}, None),
    "not in front": ({"README.md": "text\n---\nsystem_prompt: Be brief.\n---\n"}, None),
}


@pytest.mark.parametrize("case", PROMPTS)
def test_system_prompts(tmp_path: Path, case: str) -> None:
    files, expected = PROMPTS[case]
    assert texts(tmp_path, files)[0].system_prompt == expected


@pytest.mark.parametrize(
    ("front_matter", "expected"),
    [
        ("example_prompt: Say hello", "Say hello"),
        ("example_prompt: 'It''s late'", "It's late"),
        ('widget:\n- text: "Once upon"', "Once upon"),
        ("license: mit", None),
    ],
)
def test_example_prompts(tmp_path: Path, front_matter: str, expected: str | None) -> None:
    assert texts(tmp_path, {"README.md": f"---\n{front_matter}\n---\n"})[0].example_prompt == expected


@pytest.mark.parametrize(
    "name", ["tokenizer_config.json", "chat_template.jinja", "generation_config.json", "README.md"]
)
def test_pointers_of_git_lfs(tmp_path: Path, name: str) -> None:
    """The pointer must not be taken for a template."""
    found, warnings = texts(tmp_path, {name: LFS})
    assert found == FolderTexts()
    assert len(warnings) == 1
    assert f"{name} is only a Git LFS pointer" in warnings[0]


@pytest.mark.parametrize(
    "content", ["[", "[" * 100_000, "[]", "\x00", '{"chat_template": {"a": 1}}', '{"eos_token": {}}']
)
def test_damage(tmp_path: Path, content: str) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json", "args.json"):
        assert texts(tmp_path, {name: content})[0] == FolderTexts()


@pytest.mark.parametrize(
    "line", ["", " ", "a" + " " * 500_000 + "b", "- text: a" + " " * 500_000 + "b", "example_prompt:"]
)
def test_long_cards_cost_nothing(tmp_path: Path, line: str) -> None:
    """Expressions that try every split of a long run of spaces would take hours."""
    card = f"---\n{line}\n" + "\n" * 400_000 + "---\n"
    started = time.process_time()
    texts(tmp_path, {"README.md": card})
    assert time.process_time() - started < 60
