"""What to do about errors whose own words say only what is wrong: rooms below know no commands and no options."""

from __future__ import annotations

from edgelora.errors import ConversionError, EdgeloraError, GGUFError, MergeError

_NO_ADAPTER = "Give a GGUF adapter, or a PEFT or MLX folder."
_OF_SOURCES = (
    ("the output", "Say with -o where to write it, a file in a folder that is there."),
    ("not an adapter", _NO_ADAPTER),
    ("the base", "Use the base that it was trained on; --base takes a file or a name."),
    ("no such file or folder", _NO_ADAPTER),
    ("there is no adapter", _NO_ADAPTER),
    ("its name is empty", _NO_ADAPTER),
)
_OF_FILES = (
    ("not a base model", "A base is a whole model; an adapter is named with --adapter."),
    ("it is not a GGUF file", "A base is a whole model as a GGUF; an adapter is a GGUF, or a PEFT or MLX folder."),
    ("this is a folder", "Give the GGUF file in it."),
    ("no such file", "Give the path of a GGUF file; edgelora bases list shows bases that have names."),
)
_KNOWN = (((ConversionError, MergeError), _OF_SOURCES), ((GGUFError,), _OF_FILES))


def hint_for(error: EdgeloraError) -> str:
    """What to do about ``error``: its own hint, or one for what it says; empty where nothing helps."""
    if error.hint:
        return error.hint
    for kinds, known in _KNOWN:
        if isinstance(error, kinds):
            return next((hint for words, hint in known if words in error.message), "")
    return ""
