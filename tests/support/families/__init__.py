"""Tiny models of every family that the agreement with PEFT is shown on."""
