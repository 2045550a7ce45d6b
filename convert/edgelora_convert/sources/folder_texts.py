"""What an adapter says about its use, beside the weights: chat template, end tokens, prompts.

None of it decides over a conversion, so what is missing, damaged or too large is left out, with a warning where a
person may expect it to be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgelora_convert.source import FolderTexts
from edgelora_convert.sources.end_tokens import end_tokens
from edgelora_convert.sources.model_card import example_prompt, system_prompt
from edgelora_convert.storage.config_file import ConfigFileError, read_object
from edgelora_convert.storage.signatures import LFS_POINTER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from edgelora_convert.problems import Problems

MAX_TEXT_BYTES = 1024 * 1024
_JSON_FILES = (
    "tokenizer_config.json",
    "chat_template.json",
    "special_tokens_map.json",
    "generation_config.json",
    "added_tokens.json",
    "args.json",
)
_CARD, _TEMPLATE = "README.md", "chat_template.jinja"
TEXT_FILES = (_CARD, _TEMPLATE, *_JSON_FILES)
"""All that is looked at."""


def texts_of(folder: Path, warnings: Problems) -> FolderTexts:
    """The texts in a folder, as Transformers, ms-swift and people save them beside an adapter."""
    files = {name: _object(folder / name, warnings) for name in _JSON_FILES}
    card = _text(folder / _CARD, warnings) or ""
    return FolderTexts(
        chat_template=_chat_template(_text(folder / _TEMPLATE, warnings), files),
        example_prompt=example_prompt(card),
        eos_tokens=end_tokens(files),
        system_prompt=system_prompt(card) or _swift_system(files["args.json"]),
    )


def _chat_template(in_own_file: str | None, files: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Where Transformers looks: chat_template.jinja, tokenizer_config.json, and what processors used to write."""
    saved = (
        in_own_file,
        *(files[name].get("chat_template") for name in ("tokenizer_config.json", "chat_template.json")),
    )
    return next((template for value in saved for template in _templates(value)), None)


def _templates(saved: object) -> Iterator[str]:
    """One template as a string, or several with names, of which only the default is meant for chats."""
    for entry in saved if isinstance(saved, list) else (saved,):
        template = entry.get("template") if isinstance(entry, dict) and entry.get("name") == "default" else entry
        if isinstance(template, str) and 0 < len(template) <= MAX_TEXT_BYTES:
            yield template


def _swift_system(arguments: Mapping[str, Any]) -> str | None:
    """The system prompt in args.json of ms-swift, which its own inference takes from there (base_args.py)."""
    system = arguments.get("system")
    is_swift = "model_type" in arguments and "template" in arguments
    return system if is_swift and isinstance(system, str) and 0 < len(system) <= MAX_TEXT_BYTES else None


def _object(path: Path, warnings: Problems) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        return read_object(path)
    except ConfigFileError as error:
        warnings.refuse(path.name, f"{error}; nothing is taken from it")
        return {}


def _text(path: Path, warnings: Problems) -> str | None:
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            return None
        raw = path.read_bytes()
    except OSError:
        return None
    if raw.startswith(LFS_POINTER):
        warnings.refuse(path.name, f"{path.name} is only a Git LFS pointer; run `git lfs pull` to take it along")
        return None
    return raw.decode("utf-8", "replace")
