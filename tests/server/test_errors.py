"""What clients are told of errors."""

from __future__ import annotations

import pytest

from edgelora.errors import AdapterError, GGUFError, UnknownAdapterError
from edgelora.server.bodies import checked
from edgelora.server.errors import ApiError, as_api_error
from edgelora.server.openai.requests import ChatRequest
from edgelora.server.selecting import NO_SUCH_MODEL


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("/home/me/x.gguf: the file ends within blk.0", "x.gguf: the file ends within blk.0"),
        ("/home/me/my adapters/x y.gguf: too short", "x y.gguf: too short"),
        ("'/srv/keys/x.gguf' cannot be read (no access)", "'x.gguf' cannot be read (no access)"),
        ("x cannot be copied to ~/a/b/c (no space)", "x cannot be copied to c (no space)"),
        ("see (/a/b/c)", "see (c)"),
        ("a/b is 3/4", "a/b is 3/4"),
    ],
)
def test_folders_of_this_machine_are_not_named(message: str, shown: str) -> None:
    assert as_api_error(GGUFError(message)).message == shown
    assert as_api_error(AdapterError("no", message)).message == f"no. {shown}"


def test_where_models_are_listed_is_named() -> None:
    assert as_api_error(UnknownAdapterError("there is none", "See /a/b.")).message == f"there is none. {NO_SUCH_MODEL}"


@pytest.mark.parametrize(
    ("wrong", "param", "said"),
    [
        ({"stop": ["a"] * 17}, "stop", "at most 16"),
        ({"stop": ["a", ""]}, "stop.1", "at least 1 character"),
        ({"stop": 3}, "stop", "valid string"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text", "required"),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "messages.0.content", "valid string"),
    ],
)
def test_of_what_has_two_forms_the_one_that_was_meant_is_explained(
    wrong: dict[str, object], param: str, said: str
) -> None:
    asked = {"model": "base", "messages": [{"role": "user", "content": "Hello."}]} | wrong
    with pytest.raises(ApiError) as told:
        checked(ChatRequest, asked)
    assert told.value.param == param
    assert said in told.value.message
