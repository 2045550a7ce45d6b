"""llama.cpp's own converter of models, without their vocabularies: CHECKOUT FOLDER... writes FOLDER.gguf in F16 each.

It runs in a process of its own, since it brings its own gguf package. A model that it cannot convert is left out.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import Any


def convert(folder: Path) -> None:
    from conversion import get_model_class
    from gguf import LlamaFileType

    found: Any = get_model_class(json.loads((folder / "config.json").read_text())["architectures"][0])
    parts = {"model_arch": found.model_arch, "set_vocab": lambda self: self.gguf_writer.add_tokenizer_model("no_vocab")}
    model = type(found.__name__, (found,), parts)
    model(folder, LlamaFileType.MOSTLY_F16, folder.with_suffix(".gguf")).write()


if __name__ == "__main__":
    checkout, *folders = sys.argv[1:]
    sys.path[:0] = [checkout, f"{checkout}/gguf-py"]
    for name in folders:
        try:
            convert(Path(name))
        except Exception:
            traceback.print_exc()
            Path(name).with_suffix(".gguf").unlink(missing_ok=True)
