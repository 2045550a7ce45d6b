"""Writes a GGUF adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gguf.gguf_writer import GGUFWriter

    from edgelora_convert.encode import Factor


MetadataValue = str | int | tuple[str, ...] | tuple[int, ...]
"""Written as strings and UINT32, alone or in arrays, which must not be empty."""


@dataclass(frozen=True)
class AdapterContent:
    """Everything that goes into the file; tensors are keyed by their full names."""

    arch: str
    alpha: float
    metadata: Mapping[str, MetadataValue]
    tensors: Mapping[str, Factor]


def write_adapter(path: Path, content: AdapterContent) -> None:
    """Write the GGUF file. The same content gives the same bytes."""
    from gguf.constants import GGMLQuantizationType
    from gguf.gguf_writer import GGUFWriter

    writer = GGUFWriter(path, content.arch)
    try:
        writer.add_string("general.type", "adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", content.alpha)
        for key, value in content.metadata.items():
            _add(writer, key, value)
        for name, factor in content.tensors.items():
            writer.add_tensor(name, factor.data, raw_dtype=GGMLQuantizationType[factor.type_name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add(writer: GGUFWriter, key: str, value: MetadataValue) -> None:
    from gguf.constants import GGUFValueType

    kinds = {str: GGUFValueType.STRING, int: GGUFValueType.UINT32}
    if isinstance(value, tuple):
        writer.add_key_value(key, value, GGUFValueType.ARRAY, kinds[type(value[0])])
    else:
        writer.add_key_value(key, value, kinds[type(value)])
