"""Single rows of an embedding or output matrix that were trained (TRAINABLE_TOKENS, trainable_token_indices).

What is stored under ``trainable_tokens_delta`` replaces rows, it is not added to them
(peft/tuners/trainable_tokens/layer.py, merge and get_merged_weights).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgelora_convert.peft.names import is_output
from edgelora_convert.peft.tensors import matrix
from edgelora_convert.update import Computed, Kind, MisfitError, Pending, UnusableError, Update, transposed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from edgelora_convert.peft.changes import Adapter, Change, ReadModule
    from edgelora_convert.peft.tensors import Parts
    from edgelora_convert.problems import Problems
    from edgelora_convert.storage.stored import StoredTensor
    from edgelora_convert.update import Weight

PARAMETERS = frozenset({"trainable_tokens_delta"})
MAX_VALUES = 1 << 28
"""Of the matrix that chooses the tokens; it takes 1 GB in float32."""
LARGE_VALUES = 1 << 25
"""From here on a person is told how large it gets."""


def token_rows(adapter: Adapter) -> ReadModule:
    """A reader of TRAINABLE_TOKENS modules, which all have the same tokens."""
    tokens = adapter.fields.tokens("token_indices")
    tied = not _of_output(adapter)
    return lambda module, parts: [_replacement(module, tokens, parts, tied, adapter.warnings)]


def trained_beside(adapter: Adapter) -> Callable[[str, Parts], Change]:
    """A reader of the rows that a LORA adapter trained beside its factors (trainable_token_indices)."""
    tokens = adapter.fields.tokens_by_module("trainable_token_indices")
    if any(tokens.values()) and not any("trainable_tokens_delta" in parts for parts in adapter.modules.values()):
        adapter.fields.refuse(
            "token rows",
            "token embeddings were trained beside it (trainable_token_indices), "
            "which the file does not hold; save it again",
        )
    tied = not _of_output(adapter)

    def read(module: str, parts: Parts) -> Change:
        table = module.removesuffix(".token_adapter")
        return _replacement(table, _tokens_of(module, tokens), parts, tied, adapter.warnings)

    return read


def _of_output(adapter: Adapter) -> bool:
    """Whether rows of the output have values of their own; where they have none, PEFT ties them to the embedding's.

    peft/utils/other.py, set_additional_trainable_modules.
    """
    rows = (name for name, parts in adapter.modules.items() if "trainable_tokens_delta" in parts)
    return any(is_output(name.removesuffix(".token_adapter")) for name in rows)


def _tokens_of(module: str, tokens: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    """PEFT compares the ends of paths (peft/utils/other.py, _set_trainable)."""
    path = module.removesuffix(".token_adapter")
    return next((found for name, found in tokens.items() if path.endswith(name)), ())


def _replacement(module: str, tokens: tuple[int, ...], parts: Parts, tied: bool, warnings: Problems) -> Pending:
    new = matrix(parts, "trainable_tokens_delta")
    if len(tokens) != new.shape[0] or len(set(tokens)) != len(tokens):
        raise UnusableError(f"the configuration names {len(set(tokens))} tokens, the file holds {new.shape[0]} rows")
    output = is_output(module)

    def complete(weight: Weight) -> Update:
        _check(new, tokens, weight)
        _check_size(len(tokens), weight.shape[0], warnings)
        chosen, change = _one_hot(tokens, weight.shape[0]), _change(new, tokens, weight)
        if output:
            return Update(module, change, transposed(chosen), 1.0)
        return Update(module, chosen, transposed(change), 1.0, Kind.EMBEDDING, tied=tied)

    return Pending(module, complete, Kind.LINEAR if output else Kind.EMBEDDING)


def _check(new: StoredTensor, tokens: tuple[int, ...], weight: Weight) -> None:
    n_tokens, width = weight.shape
    if width != new.shape[1]:
        raise MisfitError(f"its rows have {new.shape[1]} values, those of the base {width}")
    if max(tokens) >= n_tokens:
        raise MisfitError(
            f"it trains token {max(tokens)}, and the base has only {n_tokens}: its vocabulary was resized"
        )


def _check_size(n_tokens: int, vocabulary: int, warnings: Problems) -> None:
    """A few megabytes of rows become a matrix with a row as long as the vocabulary for each of them."""
    n_values = n_tokens * vocabulary
    megabytes = f"about {n_values * 2 // 10**6} MB in F16, as each needs a row as long as the vocabulary"
    if n_values > MAX_VALUES:
        raise UnusableError(
            f"its {n_tokens} trained tokens would take {megabytes}; merge it into its base with PEFT (merge_and_unload)"
        )
    if n_values > LARGE_VALUES:
        warnings.refuse("token rows", f"its {n_tokens} trained tokens take {megabytes}")


def _one_hot(tokens: tuple[int, ...], n_tokens: int) -> Computed:
    def compute() -> NDArray[np.float32]:
        chosen = np.zeros((len(tokens), n_tokens), np.float32)
        chosen[np.arange(len(tokens)), tokens] = 1
        return chosen

    return Computed((len(tokens), n_tokens), compute)


def _change(new: StoredTensor, tokens: tuple[int, ...], weight: Weight) -> Computed:
    return Computed((len(tokens), new.shape[1]), lambda: new.load() - weight.rows(tokens))
