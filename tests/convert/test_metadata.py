"""What travels along with an adapter, and what does not agree with the base."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from edgelora_convert.agreement import check_agreement, end_tokens
from edgelora_convert.convert import convert
from edgelora_convert.metadata import metadata_of
from edgelora_convert.options import EVERYTHING
from edgelora_convert.plan import Plan, make_plan
from edgelora_convert.problems import Problems
from edgelora_convert.source import FolderTexts, Source
from edgelora_convert.write import AdapterContent, write_adapter
from gguf import GGUFWriter
from support.peft_folders import Shape, peft_source, write_base

from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.ggml_types import ValueType
from edgelora.gguf.header import MetadataArray
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from pathlib import Path

QWEN = Shape(arch="qwen2")
TOKENS = ["a", "b", "<end>", "c", "<turn>"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with a name, a template and a vocabulary in which two tokens end an answer."""
    path = tmp_path_factory.mktemp("base") / "file.gguf"
    write_base(path, QWEN, tokenizer__chat_template="{{ base }}\n")
    header = read_header(path)
    writer = GGUFWriter(path.with_name("base.gguf"), "qwen2")
    for key, value in header.metadata.items():
        if not key.startswith(("general.", "tokenizer.ggml.model")):
            writer.add_key_value(key, value, header.value_types[key])  # type: ignore[arg-type]
    writer.add_name("Qwen2.5 0.5B Instruct")
    writer.add_tokenizer_model("no_vocab")
    writer.add_token_list(TOKENS)
    writer.add_eos_token_id(2)
    writer.add_eot_token_id(4)
    for info in header.tensors.values():
        values = np.fromfile(path, np.float32, info.n_elements, offset=info.offset)
        writer.add_tensor(info.name, values.reshape(info.shape[::-1]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.with_name("base.gguf")


@pytest.fixture
def plan(base: Path, tmp_path: Path) -> Plan:
    folder = peft_source(QWEN).save(tmp_path / "skill")
    return make_plan([folder], base, EVERYTHING, Problems(""), Problems(""))


def told(plan: Plan, **changes: Any) -> dict[str, Any]:
    return dict(metadata_of(replace(plan, sources=(replace(plan.sources[0], **changes),)), "fingerprint"))


def remarks(plan: Plan, *sources: Source) -> tuple[list[str], list[str]]:
    problems, warnings = Problems(""), Problems("")
    check_agreement(replace(plan, sources=sources), problems, warnings)
    return problems.lines(), warnings.lines()


def test_provenance(plan: Plan) -> None:
    assert told(plan, base_name="org/Tiny-Base", repository="me/skill", commit="c0ffee") == {
        "general.name": "skill",
        "general.base_model.count": 1,
        "general.base_model.0.name": "Tiny-Base",
        "general.base_model.0.organization": "org",
        "general.base_model.0.repo_url": "https://huggingface.co/org/Tiny-Base",
        "general.source.repo_url": "https://huggingface.co/me/skill",
        "edgelora.source_commit": "c0ffee",
        "edgelora.source_sha256": plan.sources[0].sha256(),
        "edgelora.base_fingerprint": "fingerprint",
        "edgelora.converter": told(plan)["edgelora.converter"],
    }


@pytest.mark.parametrize(
    ("trained_on", "name"),
    [
        ("/home/me/secret/base-1b/", "base-1b"),
        ("C:\\Users\\me\\base-1b", "base-1b"),
        ("base-1b", "base-1b"),
        ("", None),
        ("/", None),
        ("x" * 1000, None),
    ],
)
def test_of_a_local_path_only_the_end_is_kept(plan: Plan, trained_on: str, name: str | None) -> None:
    found = {key: value for key, value in told(plan, base_name=trained_on).items() if "base_model" in key}
    assert found == ({"general.base_model.count": 1, "general.base_model.0.name": name} if name else {})


def test_texts_are_read_back(base: Path, tmp_path: Path) -> None:
    folder = peft_source(QWEN).save(tmp_path / "p")
    saved = {"eos_token": "<stop>", "chat_template": "{{ own }}", "added_tokens_decoder": {"7": {"content": "<more>"}}}
    (folder / "tokenizer_config.json").write_text(json.dumps(saved))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7]}))
    (folder / "README.md").write_text("---\nsystem_prompt: Be brief.\nexample_prompt: Hello\n---\n")
    convert(folder, base, tmp_path / "out.gguf")
    facts = AdapterFacts.of(read_header(tmp_path / "out.gguf"))
    assert facts.eos_tokens == ("<stop>", "<more>")
    assert (facts.system_prompt, facts.example_prompt, facts.chat_template) == ("Be brief.", "Hello", "{{ own }}")


def test_the_bases_own_template_is_not_repeated(plan: Plan) -> None:
    assert "tokenizer.chat_template" not in told(plan, texts=FolderTexts(chat_template="{{ base }}  \r\n"))
    assert told(plan, texts=FolderTexts(chat_template="{{ other }}"))["tokenizer.chat_template"] == "{{ other }}"


def test_joined_adapters_keep_what_they_have_in_common(plan: Plan) -> None:
    texts = FolderTexts("{{ one }}", "first", ("<a>", "<b>"), "Be kind.")
    one = replace(plan.sources[0], name="one", base_name="org/base", texts=texts)
    two = replace(one, name="two", texts=FolderTexts("{{ one }}", "second", ("<c>", "<a>"), "Be brief."))
    found = metadata_of(replace(plan, sources=(one, two)), "")
    assert found["general.name"] == "one+two"
    assert found["general.base_model.0.name"] == "base"
    assert found["tokenizer.chat_template"] == "{{ one }}"
    assert "edgelora.example_prompt" not in found
    assert found["edgelora.eos_tokens"] == ("<a>", "<b>", "<c>")
    assert "edgelora.system_prompt" not in found
    assert found["edgelora.source_sha256"] == "+".join([one.sha256()] * 2)


def test_half_characters_do_not_stop_a_conversion(plan: Plan, tmp_path: Path) -> None:
    texts = FolderTexts(chat_template="\ud800", eos_tokens=("\udcff",))
    metadata = told(plan, name="\udcfe", base_name="\ud800", texts=texts)
    write_adapter(tmp_path / "out.gguf", AdapterContent("qwen2", 1.0, metadata, {}))
    facts = AdapterFacts.of(read_header(tmp_path / "out.gguf"))
    assert (facts.name, facts.base_name, facts.chat_template, facts.eos_tokens) == ("?", "?", "?", ("?",))


def test_invocation_tokens_are_written_as_llama_cpp_reads_them(plan: Plan, tmp_path: Path) -> None:
    """``llama_adapter_lora_init`` takes an array of UINT32 and nothing else."""
    metadata = told(plan, invocation_tokens=(3, 2**32 - 1))
    write_adapter(tmp_path / "out.gguf", AdapterContent("qwen2", 1.0, metadata, {}))
    header = read_header(tmp_path / "out.gguf")
    stored = header.metadata["adapter.alora.invocation_tokens"]
    assert isinstance(stored, MetadataArray)
    assert (stored.element_type, tuple(stored)) == (ValueType.UINT32, (3, 2**32 - 1))
    assert AdapterFacts.of(header).is_alora


def test_what_agrees_needs_no_words(plan: Plan) -> None:
    texts = FolderTexts(chat_template="{{ base }}", eos_tokens=("<turn>", "<else>"))
    for name in ("", "Qwen/Qwen2.5-0.5B-Instruct", "/tmp/checkpoint-3"):
        assert remarks(plan, replace(plan.sources[0], base_name=name, texts=texts)) == ([], [])


def test_what_does_not_agree_is_said(plan: Plan) -> None:
    texts = FolderTexts(chat_template="{{ other }}", eos_tokens=("<stop>",))
    problems, warnings = remarks(plan, replace(plan.sources[0], base_name="Qwen/Qwen2.5-0.5B", texts=texts))
    assert problems == []
    assert warnings == [
        "it was trained on Qwen/Qwen2.5-0.5B, and this base is Qwen2.5 0.5B Instruct",
        "its chat template is not the base's; chats with it use its own",
        "it was trained to end its answers with <stop>, the base ends with <end> or <turn>",
    ]


def test_joined_adapters_that_do_not_agree(plan: Plan) -> None:
    one = replace(plan.sources[0], invocation_tokens=(1, 2))
    problems, warnings = remarks(
        plan, one, replace(one, invocation_tokens=(), texts=FolderTexts(chat_template="{{ x }}"))
    )
    assert problems == ["activated LoRAs can only be joined with those of the same invocation tokens"]
    assert warnings == [
        "skill: its chat template is not the base's; chats with it use its own",
        "the joined adapters have different chat templates, so none is kept",
    ]
    assert remarks(plan, one, one) == ([], [])


def test_invocation_tokens_must_be_tokens(plan: Plan) -> None:
    problems, _ = remarks(plan, replace(plan.sources[0], invocation_tokens=(-1,)))
    assert problems == ["its invocation tokens are no token numbers"]


def test_end_tokens_of_a_base(base: Path) -> None:
    header = read_header(base)
    assert end_tokens(header) == ("<end>", "<turn>")
    vocabulary = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(vocabulary, MetadataArray)
    assert [vocabulary.text_at(index) for index in range(len(TOKENS))] == TOKENS
    assert end_tokens(replace(header, metadata={"tokenizer.ggml.eos_token_id": 2})) == ()
    assert end_tokens(replace(header, metadata={**header.metadata, "tokenizer.ggml.eos_token_id": 99})) == ("<turn>",)
