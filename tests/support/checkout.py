"""A checkout with stubs for Python and pip, on which the set-up is tried."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
[project]
dependencies = ["llama-cpp-python~=0.3.36", "click"]
"""

# Stands for the host's Python (`-m venv`) and for the environment's (`-m pip`); notes what it was asked, makes what
# pip would leave behind, and fails where $STUB_FAIL matches.
STUB_PYTHON = """\
#!/bin/sh
echo "$*" >>"$STUB_CALLS"
if [ -n "$STUB_FAIL" ]; then
    case "$*" in *$STUB_FAIL*) echo 'ERROR: stub refuses'; exit 1 ;; esac
fi
case "$*" in
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
*"pip cache dir"*) echo /stub/cache ;;
*"pip install"*--no-binary*)
    lib=$(dirname "$0")/../lib/python3.11/site-packages/llama_cpp/lib
    mkdir -p "$lib" && : >"$lib/libggml-vulkan.so" ;;
*"pip install"*--editable*)
    printf '#!/bin/sh\\necho started "$@"\\n' >"$(dirname "$0")/edgelora"
    chmod +x "$(dirname "$0")/edgelora" ;;
esac
"""


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


@dataclass
class Checkout:
    """A checkout with the real scripts, a small pyproject.toml and a stub for Python and pip."""

    root: Path
    calls_file: Path

    @property
    def command(self) -> Path:
        return self.root / "scripts" / "edgelora"

    def calls(self) -> list[str]:
        """What the stub was asked since the last look, without the probes of a finished environment."""
        if not self.calls_file.exists():
            return []
        lines = self.calls_file.read_text(encoding="utf-8").splitlines()
        self.calls_file.unlink()
        return [line for line in lines if not line.startswith("-I -c")]
