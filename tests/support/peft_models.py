"""What PEFT says: adapters made by it, and the logits of its own forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def peft_rows(model: Any, prompts: Sequence[Sequence[int]]) -> np.ndarray:
    """Logits after each prompt, f32 [prompts, n_vocab]."""
    import torch

    with torch.no_grad():
        return np.stack([model(torch.tensor([prompt])).logits[0, -1].float().numpy() for prompt in prompts])


def adapted(model: Any, folder: Path, **config: Any) -> Any:
    """The model with a random adapter on it, which also lies in the folder as PEFT saves it."""
    from peft import LoraConfig, get_peft_model

    # without init_lora_weights=False, B starts as zero and any conversion would be right
    made = get_peft_model(model, LoraConfig(init_lora_weights=False, **config)).eval()
    made.save_pretrained(folder)
    return made
