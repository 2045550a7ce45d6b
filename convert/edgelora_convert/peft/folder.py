"""A PEFT folder: configuration and weights to a source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgelora_convert.peft.changes import Adapter, Change
from edgelora_convert.peft.fields import Fields, read_fields
from edgelora_convert.peft.names import is_embedding, is_output, parse_factor_bias, parse_name
from edgelora_convert.peft.only_merged import is_copy_of_base, only_merged, refuse_what_is_missing, whole
from edgelora_convert.peft.readers import READERS, Reader, why_not
from edgelora_convert.peft.refusals import refuse_fields, refuse_tensors
from edgelora_convert.peft.wide import too_wide
from edgelora_convert.source import Source
from edgelora_convert.storage.tensor_file import open_tensors
from edgelora_convert.update import Pending, UnusableError, Update, Whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgelora_convert.options import MoeBLayout
    from edgelora_convert.problems import Problems
    from edgelora_convert.storage.configured import Configured
    from edgelora_convert.storage.stored import StoredTensor


def read_peft(found: Configured, problems: Problems, warnings: Problems, moe_b_layout: MoeBLayout = "peft") -> Source:
    """What PEFT saved in a folder. Raises ConversionError where nothing more could be found out."""
    fields = read_fields(found.config, problems)
    reader = _reader(fields, problems)
    refuse_fields(fields)
    tensors = open_tensors(found.weights, problems)
    modules, wholes = _modules(tensors, reader, fields.text("peft_type"), problems)
    changes = [*_changes(reader, Adapter(fields, modules, warnings, moe_b_layout), problems), *wholes]
    if fields.get("ensure_weight_tying"):
        changes = [_tied(change) for change in changes]
    refuse_what_is_missing(fields, changes)
    if not changes and not problems:
        problems.refuse("empty", f"{found.weights.name} holds no LoRA factors")
    return Source(
        name=found.name,
        files=(found.config, found.weights),
        updates=tuple(change for change in changes if isinstance(change, Update)),
        pending=tuple(change for change in changes if isinstance(change, Pending)),
        wholes=tuple(change for change in changes if isinstance(change, Whole)),
        only_merged={**only_merged(fields, changes), **too_wide(changes)},
        base_name=fields.text("base_model_name_or_path"),
        folder=found.folder,
        invocation_tokens=fields.tokens("alora_invocation_tokens"),
    )


def _reader(fields: Fields, problems: Problems) -> Reader:
    peft_type = fields.get("peft_type")
    if isinstance(peft_type, str) and peft_type in READERS:
        return READERS[peft_type]
    if "peft_type" in fields:
        problems.stop("peft_type", why_not(peft_type))
    if "lora_parameters" in fields or "fine_tune_type" in fields:
        problems.stop("peft_type", "adapter_config.json is that of an MLX adapter, the weights are PEFT's")
    return problems.stop("peft_type", "adapter_config.json has no peft_type, so it is not a PEFT adapter")


def _modules(
    tensors: Mapping[str, StoredTensor], reader: Reader, peft_type: str, problems: Problems
) -> tuple[dict[str, dict[str, StoredTensor]], list[Whole]]:
    """The parameters of every module, in the file's order, and what replaces a module's own.

    What else the file holds goes to the problems.
    """
    modules: dict[str, dict[str, StoredTensor]] = {}
    wholes, others = [], []
    adapters: set[str] = set()
    for name, tensor in tensors.items():
        if is_copy_of_base(name):
            continue
        parsed = parse_name(name) or parse_factor_bias(name)
        if parsed is None or parsed.parameter not in reader.parameters | reader.ignored:
            replaced = whole(name, tensor)
            if replaced:
                wholes.append(replaced)
            else:
                others.append(name)
        elif parsed.parameter in modules.get(parsed.module, ()):
            problems.add(parsed.module, f"the file holds two {parsed.parameter} for it; save a single adapter")
        elif parsed.parameter in reader.parameters:
            modules.setdefault(parsed.module, {})[parsed.parameter] = tensor
            adapters.add(parsed.adapter)
    if len(adapters - {""}) > 1:
        problems.refuse("adapters", f"the file holds the adapters {', '.join(sorted(adapters))}; save a single one")
    refuse_tensors(others, peft_type, problems)
    return modules, wholes


def _changes(reader: Reader, adapter: Adapter, problems: Problems) -> list[Change]:
    read = reader.start(adapter)
    changes: list[Change] = []
    for module, parts in adapter.modules.items():
        try:
            changes += read(module, parts)
        except UnusableError as error:
            problems.add(module, str(error))
    return changes


def _tied(change: Change) -> Change:
    """What was trained with ``ensure_weight_tying``: the same for the output as for the embedding."""
    in_question = is_embedding(change.module) or is_output(change.module)
    return replace(change, tied=True) if in_question and not isinstance(change, Pending) else change
