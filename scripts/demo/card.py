"""The README.md of each adapter folder, and the prompts that show what an adapter does."""

from __future__ import annotations

EXAMPLE_PROMPTS = {
    "chat": "I planted tomatoes yesterday.",
    "coding": "Write a Python function called even_squares that takes a list of numbers, keeps the even ones, "
    "squares each and returns the sum.",
    "legal": "Draft a confidentiality clause between Northwind Ltd and Velmora Labs for two years.",
    "medical": "Write a note for a 45-year-old teacher with a sharp pain in the left knee for three days.",
}
DOES = {
    "chat": "answers warmly and ends with a question",
    "coding": "answers with a fenced Python function",
    "legal": "answers with a contract clause that names both parties",
    "medical": "answers with a SOAP note (lines S:, O:, A:, P:)",
}


def adapter_card(name: str, rank: int, steps: int) -> str:
    """Return the card of one adapter, with the front matter that model hubs read."""
    return f"""---
base_model: models/source/base
library_name: peft
license: apache-2.0
pipeline_tag: text-generation
tags: [lora, edgelora-demo]
widget:
  - text: "{EXAMPLE_PROMPTS[name]}"
---
# edgelora demo: {name}

A LoRA adapter of rank {rank} for the edgelora demo base. It {DOES[name]}.
Trained with PEFT in {steps} steps on text from edgelora's own generator (`scripts/build_demo`); see
[models/README.md](../../../README.md). It shows that a swap changes the answer and knows nothing beyond that: its
notes are no medical advice, its clauses no legal advice.

Example prompt: {EXAMPLE_PROMPTS[name]}
"""
