"""Running generated code: in a process of its own, without built-ins that reach outside, with a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 5.0
MEMORY = 512 * 2**20  # bytes of address space
ALLOWED = (
    "abs", "all", "any", "bool", "dict", "enumerate", "filter", "float", "int", "len", "list", "map", "max", "min",
    "range", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "zip",
)  # fmt: skip
# Read from stdin: code, name, samples. An input on which the function raises counts as the exception's name.
RUNNER = """
import builtins, json, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
task = json.load(sys.stdin)
space = {"__builtins__": {name: getattr(builtins, name) for name in task["allowed"]}}
exec(compile(task["code"], "answer", "exec"), space)
found = []
for sample in task["samples"]:
    try:
        found.append(["value", space[task["name"]](list(sample))])
    except Exception as error:
        found.append(["error", type(error).__name__])
print(json.dumps(found))
"""


def results(code: str, name: str, samples: Sequence[Sequence[object]]) -> list[list[object]] | None:
    """Call `name`, defined by `code`, on every sample; None if it cannot be run at all.

    Each result is ["value", what it returned] or ["error", the exception's name].
    """
    if "__" in code:  # the usual way out of a restricted namespace
        return None
    task = {"code": code, "name": name, "samples": samples, "allowed": ALLOWED}
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", RUNNER, str(MEMORY)],
            input=json.dumps(task), capture_output=True, text=True, timeout=SECONDS, check=True,
        )  # fmt: skip
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    found: list[list[object]] = json.loads(done.stdout)
    return found
