"""Training of the demo base: a small Llama, from nothing, on two CPU cores, with checkpoints."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import torch
from torch.nn.utils import clip_grad_norm_
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from demo.parallel import average_gradients, exchange, run_workers, share
from demo.text.corpus import batches, documents_of_base, tokens_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = 2026
WORKERS = 2
WARM_UP = 20  # steps
DECAY_FROM = 0.5  # share of the steps after which the rates fall to zero in a line
CHECKPOINT_EVERY = 50
TOKENS_PER_STEP = 8192  # of all workers together


@dataclass
class Progress:
    """How far a run has come; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0


def train_base(tokenizer: PreTrainedTokenizerFast, folder: Path, tokens: int) -> LlamaForCausalLM:
    """Train on about `tokens` tokens, going on from the last checkpoint in `folder` if there is one."""
    run_workers(WORKERS, _work, tokenizer, folder, tokens // TOKENS_PER_STEP)
    model = new_model(tokenizer)
    model.load_state_dict(torch.load(folder / "base.pt", weights_only=True)["model"])
    return model.eval()


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained base; the hidden sizes are multiples of 256, so that K-quants apply."""
    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=256,
            intermediate_size=768,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


class Optimizer:
    """Muon for the matrices of the layers, each updated by one worker for all; Adam for embedding and norms."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self.parameters = list(model.parameters())
        self.matrices = [value for name, value in model.named_parameters() if ".layers." in name and value.ndim == 2]
        held = {id(value) for value in self.matrices}
        rest = [value for value in self.parameters if id(value) not in held]
        self.parts = (
            (0.02, torch.optim.Muon(share(self.matrices), lr=0.02, momentum=0.95, weight_decay=0.01)),
            (3e-3, torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0)),
        )

    def step(self, factor: float) -> None:
        """Update every parameter at `factor` of the full rates, and clear the gradients."""
        average_gradients(self.parameters)
        clip_grad_norm_(self.parameters, 1.0)
        for rate, part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
        exchange(self.matrices)
        for value in self.parameters:
            value.grad = None

    def state(self) -> list[dict[str, object]]:
        return [part.state_dict() for _, part in self.parts]

    def restore(self, state: list[dict[str, object]]) -> None:
        for (_, part), saved in zip(self.parts, state, strict=True):
            part.load_state_dict(saved)


def _work(rank: int, tokenizer: PreTrainedTokenizerFast, folder: Path, steps: int) -> None:
    model = new_model(tokenizer)
    optimizer, progress = Optimizer(model), Progress()
    own, shared = folder / f"optimizer-{rank}.pt", folder / "base.pt"
    if shared.is_file():
        saved = torch.load(shared, weights_only=True)
        model.load_state_dict(saved["model"])
        progress = Progress(**saved["progress"])
        optimizer.restore(torch.load(own, weights_only=True))
    model.train()
    source = _batches(tokenizer, rank, progress.step)
    while progress.step < steps:
        started = time.monotonic()
        loss = _loss(model, *next(source))
        optimizer.step(_rate(progress.step, steps))
        progress.step += 1
        progress.seconds += time.monotonic() - started
        progress.loss += (loss - progress.loss) * max(0.02, 1 / progress.step)
        if rank == 0 and progress.step % 10 == 0:
            _report(progress, steps)
        if progress.step % CHECKPOINT_EVERY == 0 or progress.step == steps:
            _save(optimizer.state(), own)
            if rank == 0:
                _save({"model": model.state_dict(), "progress": vars(progress)}, shared)


def _loss(model: LlamaForCausalLM, ids: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(input_ids=ids, labels=labels).loss
    loss.backward()
    return float(loss.detach())


def _batches(tokenizer: PreTrainedTokenizerFast, rank: int, step: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield one worker's (ids, labels), both [documents, length]; a resumed run draws new text."""
    rng = Random(f"{SEED}:{rank}:{step}")
    documents = (tokens_of(document, tokenizer) for document in documents_of_base(rng))
    for ids, labels in batches(documents, TOKENS_PER_STEP // WORKERS, rng):
        yield torch.from_numpy(ids), torch.from_numpy(labels)


def _rate(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / WARM_UP) * min(1.0, (1 - step / steps) / (1 - DECAY_FROM))


def _report(progress: Progress, steps: int) -> None:
    speed = TOKENS_PER_STEP * progress.step / progress.seconds
    print(f"base: step {progress.step}/{steps}, loss {progress.loss:.3f}, {speed:.0f} tokens/s", flush=True)


def _save(state: object, path: Path) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
