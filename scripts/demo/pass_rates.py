"""How many held-out prompts pass under an adapter, and how many under the base alone."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.checks import check
from demo.heldout import held_out

if TYPE_CHECKING:
    from pathlib import Path

AT_LEAST, AT_MOST = 0.9, 0.1
MAX_TOKENS = 200
AT_A_TIME = 2  # processes; each computes on one thread, which is fastest for so small a base


@dataclass(frozen=True)
class PassRate:
    """Passes of one adapter's prompts: under the adapter and under the base, out of `count`."""

    adapter: str
    count: int
    passed: int
    base_passed: int
    failures: tuple[str, ...]

    @property
    def good(self) -> bool:
        return self.passed >= AT_LEAST * self.count and self.base_passed <= AT_MOST * self.count

    def line(self) -> str:
        passed, base = f"{self.passed}/{self.count}", f"{self.base_passed}/{self.count}"
        return f"{self.adapter}: {passed} under the adapter, {base} under the base"


def measure(adapter: str, base: Path, adapter_file: Path, count: int) -> PassRate:
    """Ask `count` held-out prompts under the adapter and under the base; raises if `edgelora run` fails."""
    examples = held_out(adapter, count)
    prompts = [example.prompt for example in examples]
    with ThreadPoolExecutor(max_workers=AT_A_TIME) as pool:
        answers = list(pool.map(lambda prompt: ask(prompt, base, str(adapter_file)), prompts))
        plain = list(pool.map(lambda prompt: ask(prompt, base, "base"), prompts))
    passes = [check(adapter, example.facts, answer) for example, answer in zip(examples, answers, strict=True)]
    base_passes = [check(adapter, example.facts, answer) for example, answer in zip(examples, plain, strict=True)]
    asked = zip(prompts, answers, passes, strict=True)
    failures = tuple(f"[{adapter}] {prompt}\n{answer}\n" for prompt, answer, passed in asked if not passed)
    return PassRate(adapter, count, sum(passes), sum(base_passes), failures)


def ask(prompt: str, base: Path, selection: str) -> str:
    """Return the greedy answer of `edgelora run` to one prompt; raises CalledProcessError where it fails."""
    command = [sys.executable, "-m", "edgelora.cli", "run", prompt, "--base", str(base), "--adapter", selection]
    limits = ["--temperature", "0", "--max-tokens", str(MAX_TOKENS), "--threads", "1", "--json"]
    done = subprocess.run([*command, *limits], capture_output=True, text=True, check=True)
    return str(json.loads(done.stdout)["text"])


def table(rates: list[PassRate]) -> str:
    """Return the rates as a Markdown table."""
    head = "| adapter | passes under the adapter | passes under the base |\n|---|---|---|\n"
    rows = (f"| {rate.adapter} | {rate.passed}/{rate.count} | {rate.base_passed}/{rate.count} |" for rate in rates)
    return head + "\n".join(rows) + "\n"
