"""Bounds on what a source may announce, so that no file makes a reader work without end."""

from __future__ import annotations

MAX_EXPERTS = 1024
"""LLAMA_MAX_EXPERTS in src/llama-hparams.h of llama.cpp."""

MAX_FACTOR = 1e9
"""No alpha and no scale is larger; the comparison also keeps out NaN and infinity."""
