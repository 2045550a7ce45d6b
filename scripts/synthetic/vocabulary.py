"""A byte-level BPE vocabulary of any size that can encode every text, without anybody's vocabulary."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gguf import GGUFWriter

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
N_UNUSED_AT_END = 290  # Qwen2.5 pads its embedding beyond the specials
NORMAL, CONTROL, UNUSED = 1, 3, 5

_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"  # frequent ones first, so that common combinations get a token
_SPACE = "Ġ"

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_symbols() -> list[str]:
    """One printable character for every byte, as in GPT-2: itself where printable, else one from U+0100 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def merges(count: int) -> list[tuple[str, str]]:
    """``count`` merges: pairs of letters, a space or pair before a letter, then pairs of pairs."""
    letter_pairs = list(product(_LETTERS, _LETTERS))
    pairs = ["".join(pair) for pair in letter_pairs]
    found = [*letter_pairs, *product(_SPACE, _LETTERS), *product(pairs, _LETTERS)]
    found += product(pairs, pairs)
    return found[:count]


def add_vocabulary(writer: GGUFWriter, size: int) -> None:
    """Write ``size`` tokens, their merges, the special tokens and a ChatML template."""
    symbols = byte_symbols()
    joined = merges(size - len(symbols) - len(SPECIALS) - N_UNUSED_AT_END)
    words = [*symbols, *(left + right for left, right in joined)]
    unused = [f"[unused{index}]" for index in range(size - len(words) - len(SPECIALS))]
    first_special = len(words)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*words, *SPECIALS, *unused])
    writer.add_token_types([NORMAL] * len(words) + [CONTROL] * len(SPECIALS) + [UNUSED] * len(unused))
    writer.add_token_merges([f"{left} {right}" for left, right in joined])
    writer.add_bos_token_id(first_special)
    writer.add_pad_token_id(first_special)
    writer.add_eos_token_id(first_special + 2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHATML)
