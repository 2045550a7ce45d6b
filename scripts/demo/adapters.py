"""Training of the four LoRA adapters with PEFT, and their folders as PEFT saves them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from demo.card import adapter_card
from demo.parallel import average_gradients, run_workers
from demo.text.conversation import adapter_conversation
from demo.text.corpus import batches, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
SEED = 2027
WORKERS = 2
TOKENS_PER_STEP = 4096  # of all workers together
WARM_UP = 20  # steps
RATE = 2e-3
BASE_NAME = "models/source/base"  # what adapter_config.json calls the base


@dataclass(frozen=True)
class Recipe:
    """Rank, alpha and targets of one adapter; they differ so that every path of the converter is used."""

    rank: int
    alpha: int
    targets: tuple[str, ...]
    rslora: bool = False


RECIPES = {
    "chat": Recipe(rank=8, alpha=16, targets=(*ATTENTION, "down_proj")),
    "coding": Recipe(rank=16, alpha=32, targets=(*ATTENTION, *FEED_FORWARD)),
    "legal": Recipe(rank=12, alpha=8, targets=(*ATTENTION, *FEED_FORWARD), rslora=True),
    "medical": Recipe(rank=10, alpha=20, targets=("q_proj", "v_proj", "o_proj", *FEED_FORWARD)),
}


def train_adapter(name: str, base: Path, tokenizer: PreTrainedTokenizerFast, target: Path, steps: int) -> None:
    """Train adapter `name` on the base folder and save it as a PEFT folder with its card."""
    run_workers(WORKERS, _work, name, base, tokenizer, target, steps)
    config = target / "adapter_config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = BASE_NAME
    settings["target_modules"] = sorted(settings["target_modules"])
    config.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (target / "adapter_model.safetensors").chmod(0o644)
    (target / "README.md").write_text(adapter_card(name, RECIPES[name].rank, steps), encoding="utf-8")


def _work(rank: int, name: str, base: Path, tokenizer: PreTrainedTokenizerFast, target: Path, steps: int) -> None:
    torch.manual_seed(SEED)
    model = _adapted(base, RECIPES[name])
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
    source = _batches(tokenizer, name, rank)
    smooth = 0.0
    model.train()
    for step in range(steps):
        ids, labels = next(source)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        average_gradients(parameters)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)
        optimizer.step()
        optimizer.zero_grad()
        smooth += (float(loss.detach()) - smooth) * max(0.05, 1 / (step + 1))
        if rank == 0 and (step + 1) % 10 == 0:
            print(f"{name}: step {step + 1}/{steps}, loss {smooth:.4f}", flush=True)
    if rank == 0:
        model.save_pretrained(target)


def _adapted(base: Path, recipe: Recipe) -> PeftModel:
    config = LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        target_modules=list(recipe.targets),
        use_rslora=recipe.rslora,
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(LlamaForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    assert isinstance(model, PeftModel)
    return model


def _batches(tokenizer: PreTrainedTokenizerFast, name: str, rank: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield one worker's (ids, labels), both [conversations, length]."""
    rng = Random(f"{SEED}:{name}:{rank}")
    conversations = iter(lambda: tokens_of(adapter_conversation(rng, name), tokenizer), None)
    for ids, labels in batches(conversations, TOKENS_PER_STEP // WORKERS, rng):
        yield torch.from_numpy(ids), torch.from_numpy(labels)
