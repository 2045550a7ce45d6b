"""A batch in which every sequence has its own adapters, against llama.cpp's own adapters in a batch of the same shape.

The bounds are those of docs/engine.md, "What equal means".
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.adapters import write_adapter
from support.engines import exact_config, mixed_logits, native_logits, opened, selection

from edgelora.engine.probe import relative_difference
from edgelora.types import BASE, AdapterFile, EngineConfig, KVType

ALL_LINEAR = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
PROMPTS = [[5 + 7 * i + j for j in range(9 + i)] for i in range(6)]
RSLORA_SCALE = 5.66  # alpha 16, rank 8, divided by the root of the rank

Members = list[tuple[AdapterFile, float]]


def make_adapters(folder: Path, base: Path, dtype: str) -> list[AdapterFile]:
    specs: list[dict[str, object]] = [
        {"rank": 8, "targets": ("attn_q", "attn_v")},
        {"rank": 16, "alpha": 16 * RSLORA_SCALE, "strength": 0.2},
        {"rank": 4, "targets": ALL_LINEAR},
        {"rank": 16, "ranks": {"attn_q": 4, "ffn_up": 8}, "targets": ALL_LINEAR},  # a rank pattern
    ]
    return [
        write_adapter(folder / f"{dtype}-{i}.gguf", base, seed=i, dtype=dtype, **spec)  # type: ignore[arg-type]
        for i, spec in enumerate(specs)
    ]


def everything(adapters: list[AdapterFile]) -> list[Members]:
    """Scale 1, an rsLoRA scale, 0.7, a rank pattern, a mixture and the base."""
    first, second, third, fourth = adapters
    return [[(first, 1.0)], [(second, 1.0)], [(third, 0.7)], [(fourth, 1.0)], [(first, 0.7), (third, 0.3)], []]


def differences(config: EngineConfig, adapters: list[AdapterFile], cases: list[Members]) -> list[float]:
    """For each case how far the mixed batch is from llama.cpp's own way. Every adapter is shown to matter first."""
    with opened(config, adapters) as core:
        assert core.residency.exclusive == ""
        mixed = mixed_logits(core, PROMPTS, [selection(*members) if members else BASE for members in cases])
        base = native_logits(core, PROMPTS, [])
        errors = []
        for i, members in enumerate(cases):
            expected = native_logits(core, PROMPTS, members)[i]
            assert not members or relative_difference(expected, base[i]) > 0.01
            errors.append(relative_difference(mixed[i], expected))
    return errors


def test_in_f32_all_scales_agree_to_the_last_bits(f32_base: Path, tmp_path: Path) -> None:
    adapters = make_adapters(tmp_path, f32_base, "float32")
    assert max(differences(exact_config(f32_base), adapters, everything(adapters))) < 2e-6


def test_an_f16_pool_agrees_up_to_f16_rounding(f32_base: Path, tmp_path: Path) -> None:
    adapters = make_adapters(tmp_path, f32_base, "float16")
    config = exact_config(f32_base, pool_dtype="f16")
    assert max(differences(config, adapters, everything(adapters))) < 2e-3


@pytest.mark.parametrize(("dtype", "scale"), [("f16", 1.0), ("f16", 0.5), ("f16", 0.7), ("f32", 0.7)])
def test_on_a_quantized_base_the_difference_is_within_its_own_noise(
    demo_base: Path, tmp_path: Path, dtype: KVType, scale: float
) -> None:
    """There one last bit is amplified to a percent: llama.cpp against itself, with the scale a millionth larger."""
    numpy_dtype = {"f16": "float16", "f32": "float32"}[dtype]
    adapter = write_adapter(tmp_path / "a.gguf", demo_base, rank=16, targets=ALL_LINEAR, dtype=numpy_dtype)
    config = EngineConfig(demo_base, ctx=256, threads=1, kv_dtype=dtype, pool_dtype=dtype)
    with opened(config, [adapter]) as core:
        expected = native_logits(core, PROMPTS, [(adapter, scale)])
        nudged = [native_logits(core, PROMPTS, [(adapter, scale * (1 + k * 1e-6))]) for k in (-2, -1, 1, 2)]
        noise = max(relative_difference(n, e) for run in nudged for n, e in zip(run, expected, strict=True))
        mixed = mixed_logits(core, PROMPTS, [selection((adapter, scale))] * len(PROMPTS))
        base = native_logits(core, PROMPTS, [])
    errors = [relative_difference(m, e) for m, e in zip(mixed, expected, strict=True)]
    assert min(relative_difference(e, b) for e, b in zip(expected, base, strict=True)) > 0.05
    assert max(errors) < max(2 * noise, 1e-5)
    if scale != 0.7:  # a power of two: mostly the very same bits
        assert sum(error < 1e-5 for error in errors) >= len(errors) / 2


def test_the_base_beside_adapters_is_the_base_bit_for_bit(f32_base: Path, tmp_path: Path) -> None:
    adapters = make_adapters(tmp_path, f32_base, "float32")
    with opened(exact_config(f32_base), adapters) as core:
        alone = native_logits(core, PROMPTS, [])[0]
        others = [selection((adapter, 1.0)) for adapter in (*adapters, adapters[0])]
        beside = mixed_logits(core, PROMPTS, [BASE, *others])[0]
    assert (alone == beside).all()
