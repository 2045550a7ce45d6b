"""Conversions that work: scales, names, types, metadata, and what is left on disk."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
from edgelora_convert.convert import convert
from edgelora_convert.encode import DType
from safetensors.numpy import save_file
from support.peft_folders import PeftSource, Shape, peft_source, write_base

from edgelora.errors import ConversionError
from edgelora.gguf.data import tensor_data
from edgelora.gguf.facts import AdapterFacts
from edgelora.gguf.fit import check_fit
from edgelora.gguf.hashes import file_sha256, fingerprint
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgelora.types import Progress

QWEN = Shape(arch="qwen2")  # no layout change, so factors can be compared directly
Q = "model.layers.0.self_attn.q_proj"
V = "model.layers.0.self_attn.v_proj"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base") / "base.gguf", QWEN, tokenizer__chat_template="base's own")


def factors(adapter: Path, tensor: str = "blk.0.attn_q.weight") -> tuple[np.ndarray, np.ndarray]:
    header = read_header(adapter)
    a, b = (tensor_data(header, header.tensors[f"{tensor}.lora_{side}"]).astype(np.float32) for side in "ab")
    return a, b


def effective(adapter: Path, tensor: str = "blk.0.attn_q.weight") -> np.ndarray:
    """s·B·A as llama.cpp computes it, at user scale 1."""
    a, b = factors(adapter, tensor)
    return AdapterFacts.of(read_header(adapter)).scales[tensor] * (b @ a)


def test_a_plain_adapter_keeps_its_factors_and_alpha(base: Path, tmp_path: Path) -> None:
    source = peft_source(QWEN)
    report = convert(source.save(tmp_path / "skill"), base, tmp_path / "out.gguf", "f32")
    for side, stored, given in zip("ab", factors(tmp_path / "out.gguf"), source.factors(Q), strict=True):
        np.testing.assert_array_equal(stored, given, err_msg=side)
    facts = AdapterFacts.of(read_header(tmp_path / "out.gguf"))
    assert (facts.name, facts.base_name, facts.alpha, facts.arch) == ("skill", "tiny", 16.0, "qwen2")
    assert report.sha256 == file_sha256(tmp_path / "out.gguf")
    assert report.base_fingerprint == fingerprint(base)
    assert (report.n_pairs, report.types, report.warnings) == (4, {"F32": 8}, ())
    assert [(t.target, t.layers, t.ranks, t.scales) for t in report.targets] == [
        ("attn_q", (0, 1), (8,), (2.0,)),
        ("attn_v", (0, 1), (8,), (2.0,)),
    ]
    assert json.loads(json.dumps(report.to_dict()))["alpha"] == 16.0


def test_rank_stabilised_scale_goes_into_alpha(base: Path, tmp_path: Path) -> None:
    source = peft_source(QWEN, use_rslora=True)
    convert(source.save(tmp_path / "p"), base, tmp_path / "out.gguf", "f32")
    a, b = source.factors(Q)
    np.testing.assert_array_equal(factors(tmp_path / "out.gguf")[1], b)
    np.testing.assert_allclose(effective(tmp_path / "out.gguf"), 16 / 8**0.5 * (b @ a), rtol=1e-5, atol=1e-7)


def test_patterns_decide_scales_as_in_peft(base: Path, tmp_path: Path) -> None:
    """Keys are expressions that match the end of a module path, and the first that matches counts."""
    source = PeftSource(QWEN, peft_source(QWEN).config)
    ranks = {Q: 4, V: 8, "model.layers.1.self_attn.q_proj": 4, "model.layers.1.self_attn.v_proj": 8}
    for module, rank in ranks.items():
        source.add(module, rank, np.random.default_rng(rank))
    source.config |= {
        "rank_pattern": {"q_proj": 4},
        "alpha_pattern": {r"layers\.0\.self_attn\.q_proj": 10, "q_proj": 6, "proj": 1000},
    }
    report = convert(source.save(tmp_path / "p"), base, tmp_path / "out.gguf", "f32")
    for module, scale in zip(ranks, (10 / 4, 16 / 8, 6 / 4, 16 / 8), strict=True):
        a, b = source.factors(module)
        tensor = f"blk.{module.split('.')[2]}.attn_{module[-6]}.weight"
        np.testing.assert_allclose(effective(tmp_path / "out.gguf", tensor), scale * (b @ a), rtol=1e-5, atol=1e-7)
    assert report.warnings == ()


def test_the_rank_in_the_weights_counts(base: Path, tmp_path: Path) -> None:
    report = convert(peft_source(QWEN, rank=8, r=4).save(tmp_path / "p"), base, tmp_path / "out.gguf")
    assert report.targets[0].scales == (2.0,)
    assert "says rank 4, the weights have 8" in report.warnings[0]
    assert "(layers 0-1)" in report.warnings[0]


def test_a_module_with_scale_0_is_left_out(base: Path, tmp_path: Path) -> None:
    source = peft_source(QWEN, alpha_pattern={"q_proj": 0})
    report = convert(source.save(tmp_path / "p"), base, tmp_path / "out.gguf")
    assert [target.target for target in report.targets] == ["attn_v"]
    assert "its scale is 0" in report.warnings[0]


def test_an_untrained_module_is_reported(base: Path, tmp_path: Path) -> None:
    source = peft_source(QWEN, ("q_proj",))
    for name in source.tensors:
        if "lora_B" in name:
            source.tensors[name][:] = 0
    report = convert(source.save(tmp_path / "p"), base, tmp_path / "out.gguf")
    assert report.warnings == ("model.layers.*.self_attn.q_proj (layers 0-1): its B·A is zero, so it changes nothing",)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace(".lora_A.weight", ".lora_A.my-name.weight").replace(".lora_B.w", ".lora_B.my-name.w"),
        lambda name: name.removeprefix("base_model.model."),
        lambda name: f"module._orig_mod.{name}",
        lambda name: name.replace("base_model.model.model.", "base_model.model."),
        lambda name: name.replace("model.layers", "model.language_model.layers"),
    ],
    ids=["infix", "bare", "wrapped", "inner model", "language model"],
)
def test_spellings_of_the_same_module(base: Path, tmp_path: Path, rename: Callable[[str], str]) -> None:
    source = peft_source(QWEN)
    convert(source.save(tmp_path / "plain"), base, tmp_path / "plain.gguf", "f32")
    source.tensors = {rename(name): values for name, values in source.tensors.items()}
    convert(source.save(tmp_path / "renamed"), base, tmp_path / "renamed.gguf", "f32")
    plain, renamed = (read_header(tmp_path / name) for name in ("plain.gguf", "renamed.gguf"))
    assert list(plain.tensors) == list(renamed.tensors)
    np.testing.assert_array_equal(*(factors(header.path)[1] for header in (plain, renamed)))


def test_copies_of_base_weights_are_passed_over(base: Path, tmp_path: Path) -> None:
    source = peft_source(QWEN, ("q_proj",))
    for name in ("model.embed_tokens.base_layer.weight", "lm_head.base_layer.weight", "lm_head.base_layer.bias"):
        source.tensors[f"base_model.model.{name}"] = np.zeros((48, 64), np.float32)
    source.tensors["base_model.model.model.embed_tokens.token_adapter.base_layer.weight"] = np.zeros((1, 1), np.float32)
    assert convert(source.save(tmp_path / "p"), base, tmp_path / "out.gguf").n_pairs == 2


def test_weights_of_the_base_elsewhere_are_none_of_it(base: Path, tmp_path: Path) -> None:
    source = peft_source(QWEN, ("q_proj",))
    source.tensors[f"base_model.model.{Q}.base_layer.weight"] = np.zeros((64, 64), np.float32)
    with pytest.raises(ConversionError) as caught:
        convert(source.save(tmp_path / "p"), base, tmp_path / "out.gguf")
    (problem,) = caught.value.problems
    assert problem.startswith("the file holds weights of the base beside what was trained of them")


def test_output_matrix_and_embedding_of_an_untied_base(base: Path, tmp_path: Path) -> None:
    source = PeftSource(QWEN, peft_source(QWEN).config)
    rng = np.random.default_rng(0)
    source.add("lm_head", 8, rng)
    embedding = "base_model.model.model.embed_tokens.lora_embedding_"
    source.tensors[f"{embedding}A"] = rng.standard_normal((8, QWEN.vocab), np.float32)
    source.tensors[f"{embedding}B"] = rng.standard_normal((QWEN.hidden, 8), np.float32)
    report = convert(source.save(tmp_path / "p"), base, tmp_path / "out.gguf", "f32")
    assert [target.target for target in report.targets] == ["token_embd", "output"]
    a, b = factors(tmp_path / "out.gguf", "token_embd.weight")
    np.testing.assert_array_equal(a, source.tensors[f"{embedding}A"].T)
    np.testing.assert_array_equal(b, source.tensors[f"{embedding}B"])


def test_bf16_sources_are_read_exactly(base: Path, tmp_path: Path) -> None:
    source = peft_source(QWEN, ("q_proj",))
    folder = source.save(tmp_path / "p")
    words = {name: (values.view(np.uint32) >> 16).astype(np.uint16) for name, values in source.tensors.items()}
    save_bf16(folder / "adapter_model.safetensors", words)
    report = convert(folder, base, tmp_path / "out.gguf", "f32")
    kept = source.factors(Q)[1].view(np.uint32) & 0xFFFF0000
    np.testing.assert_array_equal(factors(tmp_path / "out.gguf")[1].view(np.uint32), kept)
    assert convert(folder, base, tmp_path / "bf16.gguf", "bf16").types == {"BF16": 4}
    np.testing.assert_array_equal(factors(tmp_path / "bf16.gguf")[1].view(np.uint32), kept)
    assert report.n_pairs == 2


def save_bf16(path: Path, words: dict[str, np.ndarray]) -> None:
    header, offset = {}, 0
    for name, values in words.items():
        header[name] = {"dtype": "BF16", "shape": values.shape, "data_offsets": [offset, offset + values.nbytes]}
        offset += values.nbytes
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + b"".join(values.tobytes() for values in words.values()))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_float_types(base: Path, tmp_path: Path, dtype: type[np.floating]) -> None:
    source = peft_source(QWEN, ("q_proj",))
    folder = source.save(tmp_path / "p")
    retyped = {name: values.astype(dtype) for name, values in source.tensors.items()}
    save_file(retyped, folder / "adapter_model.safetensors")
    convert(folder, base, tmp_path / "out.gguf", "f32")
    np.testing.assert_array_equal(factors(tmp_path / "out.gguf")[1], source.factors(Q)[1].astype(dtype).astype("f4"))


@pytest.mark.parametrize("dtype", ["auto", "f16", "f32", "bf16", "q8_0"])
def test_every_type_stays_close_to_the_source(base: Path, tmp_path: Path, dtype: DType) -> None:
    source = peft_source(QWEN, rank=32)
    folder = source.save(tmp_path / "p")
    report = convert(folder, base, tmp_path / "out.gguf", dtype)
    a, b = source.factors(Q)
    expected = 16 / 32 * (b @ a)
    error = np.linalg.norm(effective(tmp_path / "out.gguf") - expected) / np.linalg.norm(expected)
    limits = {"F16": 1e-3, "F32": 1e-6, "BF16": 5e-3, "Q8_0": 1e-2}
    (stored,) = report.types
    assert stored == ("F16" if dtype == "auto" else dtype.upper())
    assert error < limits[stored]
    assert check_fit(read_header(tmp_path / "out.gguf"), read_header(base)) == []


def test_rows_that_are_no_whole_blocks_stay_f16(base: Path, tmp_path: Path) -> None:
    report = convert(peft_source(QWEN, rank=8).save(tmp_path / "p"), base, tmp_path / "out.gguf", "q8_0")
    assert report.types == {"Q8_0": 4, "F16": 4}


def test_what_f16_cannot_hold_becomes_f32_or_is_refused(base: Path, tmp_path: Path) -> None:
    source = peft_source(QWEN, ("q_proj",))
    b = source.tensors[f"base_model.model.{Q}.lora_B.weight"]
    b[:] = 1e-20
    b[0] = 1e5
    a = source.tensors[f"base_model.model.{Q}.lora_A.weight"]
    a *= 1e9
    folder = source.save(tmp_path / "p")
    assert convert(folder, base, tmp_path / "out.gguf").types == {"F32": 2, "F16": 2}
    with pytest.raises(ConversionError, match=r"self_attn\.q_proj \(layer 0\): its values span more than F16"):
        convert(folder, base, tmp_path / "out.gguf", "f16")


def test_where_it_came_from_and_what_it_needs_travel_along(base: Path, tmp_path: Path) -> None:
    folder = peft_source(QWEN, base_model_name_or_path="org/Tiny-Instruct").save(tmp_path / "p")
    (folder / "chat_template.jinja").write_text("{{ its own }}")
    (folder / "README.md").write_text('---\nlicense: mit\nexample_prompt: "Say \\"hi\\""\n---\n# Card\ntext: no\n')
    report = convert(folder, base, tmp_path / "out.gguf")
    metadata = read_header(tmp_path / "out.gguf").metadata
    assert metadata["general.base_model.0.name"] == "Tiny-Instruct"
    assert metadata["general.base_model.0.organization"] == "org"
    assert metadata["general.base_model.count"] == 1
    assert metadata["edgelora.source_sha256"] == report.source_sha256
    assert metadata["edgelora.base_fingerprint"] == report.base_fingerprint
    facts = AdapterFacts.of(read_header(tmp_path / "out.gguf"))
    assert (facts.chat_template, facts.example_prompt) == ("{{ its own }}", 'Say "hi"')


@pytest.mark.parametrize(
    ("file", "text", "template"),
    [
        ("chat_template.jinja", "base's own\n", None),
        ("tokenizer_config.json", json.dumps({"chat_template": "other"}), "other"),
        (
            "tokenizer_config.json",
            json.dumps({"chat_template": [{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]}),
            "d",
        ),
        ("tokenizer_config.json", "[broken", None),
        ("tokenizer_config.json", "[]", None),
    ],
)
def test_chat_template(base: Path, tmp_path: Path, file: str, text: str, template: str | None) -> None:
    folder = peft_source(QWEN).save(tmp_path / "p")
    (folder / file).write_text(text)
    convert(folder, base, tmp_path / "out.gguf")
    assert AdapterFacts.of(read_header(tmp_path / "out.gguf")).chat_template == template


@pytest.mark.parametrize(
    ("card", "prompt"),
    [
        ("---\nwidget:\n- text: Write a note\n---\n", "Write a note"),
        ("---\nexample_prompt: 'It''s me'\n---\n", "It's me"),
        ("---\nlicense: mit\n---\nexample_prompt: not in front\n", None),
        ("# No front matter\n", None),
    ],
)
def test_example_prompt(base: Path, tmp_path: Path, card: str, prompt: str | None) -> None:
    folder = peft_source(QWEN).save(tmp_path / "p")
    (folder / "README.md").write_text(card)
    convert(folder, base, tmp_path / "out.gguf")
    assert AdapterFacts.of(read_header(tmp_path / "out.gguf")).example_prompt == prompt


def test_local_paths_do_not_get_into_the_file(base: Path, tmp_path: Path) -> None:
    folder = peft_source(QWEN, base_model_name_or_path="C:\\Users\\me\\tiny-base\\").save(tmp_path / "p")
    convert(folder, base, tmp_path / "out.gguf")
    assert AdapterFacts.of(read_header(tmp_path / "out.gguf")).base_name == "tiny-base"
    assert b"Users" not in (tmp_path / "out.gguf").read_bytes()


def test_the_same_input_gives_the_same_bytes(base: Path, tmp_path: Path) -> None:
    folder = peft_source(QWEN).save(tmp_path / "p")
    first = convert(folder, base, tmp_path / "one.gguf")
    assert convert(folder, base, tmp_path / "two.gguf").sha256 == first.sha256


def test_the_weights_file_may_be_named_too(base: Path, tmp_path: Path) -> None:
    folder = peft_source(QWEN).save(tmp_path / "p")
    assert convert(folder / "adapter_model.safetensors", base, tmp_path / "out.gguf").name == "p"


def test_progress_ends_where_it_said(base: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    convert(peft_source(QWEN).save(tmp_path / "p"), base, tmp_path / "out.gguf", progress=seen.append)
    for stage in ("converting", "measuring"):
        assert [progress.done for progress in seen if progress.stage == stage] == list(range(5))
    assert {progress.total for progress in seen} == {4}


def test_an_interrupted_conversion_leaves_the_old_file(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = peft_source(QWEN).save(tmp_path / "p")
    out = tmp_path / "out" / "adapter.gguf"
    out.parent.mkdir()
    convert(folder, base, out)
    before = out.read_bytes()

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(folder, base, out, "f32")
    assert [path.name for path in out.parent.iterdir()] == ["adapter.gguf"]
    assert out.read_bytes() == before


def test_only_files_are_replaced(base: Path, tmp_path: Path) -> None:
    folder = peft_source(QWEN).save(tmp_path / "p")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(ConversionError, match="no ordinary file"):
        convert(folder, base, fifo)
    weights = folder / "adapter_model.safetensors"
    before = weights.read_bytes()
    with pytest.raises(ConversionError, match=r"would replace adapter_model\.safetensors of p"):
        convert(folder, base, weights)
    assert weights.read_bytes() == before


def test_a_gguf_is_converted_in_place(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    convert(peft_source(QWEN).save(tmp_path / "p"), base, out, "f32")
    report = convert(out, base, out, "f16")
    assert (report.types, report.sha256) == ({"F16": 8}, file_sha256(out))


def test_a_model_is_not_replaced(base: Path, tmp_path: Path) -> None:
    other = write_base(tmp_path / "other.gguf", QWEN)
    before = other.read_bytes()
    with pytest.raises(ConversionError, match="is a model, which it would replace"):
        convert(peft_source(QWEN).save(tmp_path / "p"), base, other)
    assert other.read_bytes() == before


def test_a_checkpoint_has_the_name_of_its_training(base: Path, tmp_path: Path) -> None:
    report = convert(peft_source(QWEN).save(tmp_path / "skill" / "checkpoint-20"), base, tmp_path / "out.gguf")
    assert report.name == "skill-checkpoint-20"
