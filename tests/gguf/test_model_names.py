"""Names of models: what agrees, what contradicts, and what says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFWriter
from hypothesis import given
from hypothesis import strategies as st

from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.model_names import base_name_warning, compared
from edgelora.gguf.reader import read_header

SAME = [
    ("Qwen/Qwen2.5-0.5B", "Qwen2.5 0.5B"),
    ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5-0.5b-instruct"),
    ("unsloth/Qwen2.5-0.5B-Instruct-bnb-4bit", "Qwen2.5 0.5B Instruct"),
    ("unsloth/Qwen2.5-0.5B-Instruct-unsloth-bnb-4bit", "Qwen2.5 0.5B Instruct"),
    ("mlx-community/Qwen2.5-0.5B-Instruct-4bit", "Qwen2.5 0.5B Instruct"),
    ("Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4", "Qwen2.5 0.5B Instruct"),
    ("Qwen/Qwen2.5-0.5B-Instruct-AWQ", "qwen2.5-0.5b-instruct-q4_k_m"),
    ("https://huggingface.co/Qwen/Qwen2.5-0.5B-Instruct/", "Qwen2.5 0.5B Instruct"),
    ("meta-llama/Llama-3.2-1B-Instruct", "Models Meta Llama Llama 3.2 1B Instruct"),
    ("meta-llama/Meta-Llama-3.1-8B-Instruct", "Llama 3.1 8B Instruct"),
    ("unsloth/Meta-Llama-3.1-8B-bnb-4bit", "Meta Llama 3.1 8B"),
    ("NousResearch/Llama-2-7b-chat-hf", "Llama 2 7b Chat Hf"),
    ("TheBloke/Mistral-7B-Instruct-v0.2-GPTQ", "mistralai_mistral-7b-instruct-v0.2"),
    ("mistralai/Mistral-7B-Instruct-v0.2", "mistral-7b-instruct-v0.2.Q4_K_M.gguf"),
    ("mistralai/Mixtral-8x7B-v0.1", "Mixtral 8x7B v0.1"),
    ("google/gemma-2-2b-it", "Gemma 2 2b It"),
    ("google/gemma-3-4b-it-qat-q4_0-unquantized", "gemma-3-4b-it"),
    ("unsloth/gemma-3-270m-it", "gemma-3-270m-it-F16"),
    ("openai-community/gpt2", "Gpt2"),
    ("unsloth/gpt-oss-20b-BF16", "Gpt Oss 20b"),
    ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama-1.1b-chat-v1.0.Q8_0"),
    ("HuggingFaceTB/SmolLM2-135M-Instruct", "SmolLM2 135M Instruct"),
    ("HuggingFaceTB/SmolLM-135M-Instruct", "SmolLM 135M Instruct"),
    ("EleutherAI/pythia-70m-deduped", "Pythia 70m Deduped"),
    ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "DeepSeek R1 Distill Qwen 1.5B"),
    ("Qwen/Qwen3-30B-A3B", "Qwen3 30B A3B"),
    ("/home/me/.cache/huggingface/hub/models--Qwen--Qwen2.5-0.5B/snapshots/060db64", "Qwen2.5 0.5B"),
]

DIFFERENT = [
    ("Qwen/Qwen2.5-0.5B", "Qwen2.5 0.5B Instruct"),
    ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen2.5 0.5B"),
    ("Qwen/Qwen2.5-1.5B-Instruct", "Qwen2.5 0.5B Instruct"),
    ("Qwen/Qwen2-0.5B-Instruct", "Qwen2.5 0.5B Instruct"),
    ("Qwen/Qwen2.5-Coder-0.5B-Instruct", "Qwen2.5 0.5B Instruct"),
    ("Qwen/Qwen2.5-Math-1.5B", "Qwen2.5 1.5B"),
    ("Qwen/Qwen3-4B", "Qwen3 4B Instruct 2507"),
    ("Qwen/Qwen3-4B-Base", "Qwen3 4B Instruct"),
    ("meta-llama/Llama-3.2-3B", "Llama 3.1 8B"),
    ("meta-llama/Meta-Llama-3-8B-Instruct", "Meta Llama 3.1 8B Instruct"),
    ("meta-llama/Llama-2-7b-hf", "Llama 2 7b Chat Hf"),
    ("meta-llama/Llama-3.1-8B-Instruct", "Hermes 3 Llama 3.1 8B"),
    ("mistralai/Mistral-7B-v0.1", "Mistral 7B Instruct v0.2"),
    ("mistralai/Mistral-7B-Instruct-v0.1", "Mistral 7B Instruct v0.3"),
    ("mistralai/Mistral-7B-v0.1", "Zephyr 7B Beta Mistral"),
    ("mistralai/Mistral-7B-v0.1", "Llama 2 7b"),
    ("google/gemma-2-2b", "gemma-2-2b-it-Q4_K_M"),
    ("google/gemma-2-2b-it", "Gemma 3 4b It"),
    ("microsoft/Phi-3-mini-4k-instruct", "Phi 3 Mini 128k Instruct"),
    ("microsoft/Phi-3-small-8k-instruct", "Phi 3 Medium 8k Instruct"),
    ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "Qwen2.5 1.5B"),
    ("HuggingFaceTB/SmolLM2-135M", "SmolLM2 135M Instruct"),
    ("HuggingFaceTB/SmolLM-135M-Instruct", "SmolLM2 135M Instruct"),
    ("distilbert/distilgpt2", "Gpt2"),
]

NOTHING = [
    ("", "Qwen2.5 0.5B"),
    ("./output/checkpoint-500", "Qwen2.5 0.5B"),
    ("checkpoint-1200", "Qwen2.5 0.5B"),
    ("outputs/llama-step-1000", "Qwen2.5 0.5B"),
    ("/models/Qwen2.5-1.5B", "Qwen2.5 0.5B"),
    ("C:\\Users\\me\\llama-3-8b", "Qwen2.5 0.5B"),
    ("..\\models\\llama", "Qwen2.5 0.5B"),
    ("~/llama", "Qwen2.5 0.5B"),
    ("me/my-merged-model", "Qwen2.5 0.5B"),
    ("Qwen/Qwen2.5-0.5B", "Workspace"),
    ("Qwen/Qwen2.5-0.5B", "0.5B 7ae557604adf67be50417f59c2c2f167def9a775"),
    ("me/qwen2.5-0.5b-sft", "Qwen2.5 0.5B Instruct"),
    ("HuggingFaceTB/SmolLM2-135M-Instruct", "Smollm2 135M 8k Lc100K Mix1 Ep2"),
    ("codellama/CodeLlama-7b-hf", "LLaMA v2"),
    ("lmsys/vicuna-7b-v1.5", "LLaMA v2"),
    ("microsoft/Phi-3-mini-4k-instruct", "Phi3"),
    ("huggyllama/llama-7b", "Llama 2 7b"),  # the first of a family has no number, and many names leave theirs out
    ("google/gemma-2-2b-jpn-it", "Gemma 2 2b It"),
    ("unsloth/tinyllama", "TinyLlama 1.1B Chat v1.0"),
    ("meta-llama/Llama-3.2-1B", "Llama 3.2"),
    ("llama" * 200, "Qwen2.5 0.5B"),
]

KNOWN = sorted({name for pair in SAME + DIFFERENT for name in pair})


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_model(one: str, other: str) -> None:
    assert compared(one, other) == compared(other, one) == "same"


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_model(one: str, other: str) -> None:
    assert compared(one, other) == compared(other, one) == "different"


@pytest.mark.parametrize(("one", "other"), NOTHING)
def test_names_that_say_nothing(one: str, other: str) -> None:
    assert compared(one, other) == compared(other, one) == "unknown"


@given(
    name=st.sampled_from([name for name, _ in SAME if not name.startswith(("/", "http"))]),
    organisation=st.sampled_from(["", "unsloth/", "mlx-community/", "bartowski/", "TheBloke/"]),
    ending=st.sampled_from(
        ["", "-GGUF", "-bnb-4bit", "-AWQ", "-GPTQ-Int4", "-Q4_K_M", ".Q8_0.gguf", "-IQ2_XXS", "-8bit"]
    ),
    change=st.sampled_from([str.lower, str.upper, str.title, lambda text: text.replace("-", " ")]),
)
def test_who_published_it_and_how_says_nothing(name: str, organisation: str, ending: str, change: object) -> None:
    decorated = organisation + change(name.rsplit("/", 1)[-1]) + ending  # type: ignore[operator]
    assert compared(decorated, name) == "same"


@given(one=st.one_of(st.sampled_from(KNOWN), st.text(max_size=60)), other=st.one_of(st.sampled_from(KNOWN), st.text()))
def test_verdicts_have_no_direction(one: str, other: str) -> None:
    assert compared(one, other) == compared(other, one)
    assert compared(one, one) != "different"
    assert compared("qwen-0b", "qwen-0b") == "same"


def test_one_name_that_agrees_is_enough() -> None:
    names = ["Qwen2.5 0.5B", "Qwen2.5 0.5B Instruct"]
    assert base_name_warning("Qwen/Qwen2.5-0.5B-Instruct", names) is None
    assert base_name_warning("Qwen/Qwen2.5-0.5B-Instruct", ["Workspace", *names[:1], "Llama 3 8B"]) == (
        "it was trained on Qwen/Qwen2.5-0.5B-Instruct, and this base is Qwen2.5 0.5B"
    )
    assert base_name_warning("Qwen/Qwen2.5-0.5B-Instruct", ["Workspace"]) is None
    assert base_name_warning("Qwen/Qwen2.5-0.5B\x1b[2J", ["Llama 3 8B"]) == (
        "it was trained on Qwen/Qwen2.5-0.5B?[2J, and this base is Llama 3 8B"
    )


def test_what_a_file_is_called(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "file-name.gguf", "llama")
    writer.add_name("Name")
    writer.add_basename("Base")
    writer.add_size_label("1B")
    writer.add_finetune("Instruct")
    writer.add_uint32("general.version", 3)  # of another kind than it should be
    writer.add_source_repo_url("https://huggingface.co/org/repo")
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, "Parent")
    writer.add_block_count(1)
    writer.add_embedding_length(8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    facts = BaseFacts.of(read_header(tmp_path / "file-name.gguf"))
    assert facts.names == ("Name", "Base 1B Instruct", "https://huggingface.co/org/repo", "file-name")
