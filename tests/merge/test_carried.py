"""What adapters carry beside their changes: a merged file opened alone is spoken to as base and adapter are."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from support.adapters import write_adapter

from edgelora.adapters.library import AdapterLibrary
from edgelora.chat.resolved import resolve
from edgelora.chat.session import ChatSession
from edgelora.engine.client import open_engine
from edgelora.gguf.baked_in import baked_into
from edgelora.gguf.facts import BaseFacts
from edgelora.gguf.reader import read_header
from edgelora.merge.merge import merge
from edgelora.merge.options import MergeMember, Options
from edgelora.native.model import Model
from edgelora.types import EngineConfig, Failed, SamplingParams

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from gguf import GGUFWriter

    from edgelora.engine.client import EngineClient
    from edgelora.merge.report import MergeReport
    from edgelora.types import Request, RequestEvent

TEMPLATE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}\n{% endfor %}[assistant]"
SYSTEM = "You write for courts."
ENDS = (":", "?", "no token of this base")
UNVERIFIED = Options("f16", verify=False, threads=1)


def adapter(path: Path, base: Path, template: str = "", system: str = "", ends: tuple[str, ...] = ()) -> Path:
    def texts(writer: GGUFWriter) -> None:
        if template:
            writer.add_chat_template(template)
        if system:
            writer.add_string("edgelora.system_prompt", system)
        if ends:
            writer.add_array("edgelora.eos_tokens", ends)

    return write_adapter(path, base, targets=("attn_q",), seed=len(path.stem), extra=texts).path


def merged(base: Path, out: Path, *members: Path | MergeMember) -> MergeReport:
    return merge(
        base, [each if isinstance(each, MergeMember) else MergeMember(each) for each in members], out, UNVERIFIED
    )


class _Listener:
    """An engine, and what it was asked."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine
        self.base, self.load, self.tokenize, self.cancel = engine.base, engine.load, engine.tokenize, engine.cancel
        self.requests: list[Request] = []

    def generate(self, request: Request) -> AsyncGenerator[RequestEvent, None]:
        self.requests.append(request)
        return self._engine.generate(request)


async def asked(base: Path, selection: str) -> Request:
    """What the engine is asked to answer a first question."""
    engine = await open_engine(EngineConfig(base, ctx=256, threads=1), in_process=True)
    try:
        listener = _Listener(engine)
        session = ChatSession(listener, sampling=SamplingParams(max_tokens=1))  # type: ignore[arg-type]
        async with aclosing(session.ask("What is a lien?", resolve(AdapterLibrary(base), selection))) as events:
            assert not [event async for event in events if isinstance(event, Failed)]
        return listener.requests[-1]
    finally:
        await engine.close()


async def test_it_is_asked_what_base_and_adapter_are_asked(demo_base: Path, tmp_path: Path) -> None:
    file, out = adapter(tmp_path / "law.gguf", demo_base, TEMPLATE, SYSTEM, ENDS), tmp_path / "out.gguf"
    report = merged(demo_base, out, file)
    bare, at_run_time, alone = [
        await asked(base, selection) for base, selection in [(demo_base, "base"), (demo_base, str(file)), (out, "base")]
    ]
    assert alone.tokens == at_run_time.tokens != bare.tokens
    assert alone.sampling == at_run_time.sampling
    assert len(alone.sampling.stop_tokens) == 2
    assert {"tokenizer.chat_template", "edgelora.system_prompt", "edgelora.eos_tokens"} <= set(report.carried)
    assert report.to_dict()["carried"] == list(report.carried)


def test_every_program_of_llama_cpp_ends_where_the_adapter_ends(demo_base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    merged(demo_base, out, adapter(tmp_path / "law.gguf", demo_base, ends=ENDS))
    for path, ends in ((demo_base, False), (out, True)):
        with Model(path) as model:
            found = [model.tokenize(text, parse_special=True, add_special=False) for text in ENDS[:2]]
            assert [model.ends_generation(token) for (token,) in found] == [ends, ends]
    before, after = BaseFacts.of(read_header(demo_base)), BaseFacts.of(read_header(out))
    assert (after.eos_token_id, after.chat_template) == (before.eos_token_id, before.chat_template)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((TEMPLATE, SYSTEM), ("", ""), (TEMPLATE, SYSTEM)),
        ((TEMPLATE, SYSTEM), (TEMPLATE, SYSTEM), (TEMPLATE, SYSTEM)),
        ((TEMPLATE, SYSTEM), ("{{ 2 }}", "Be kind."), None),
    ],
)
def test_of_several_adapters_what_they_agree_on(
    demo_base: Path, tmp_path: Path, first: tuple[str, str], second: tuple[str, str], expected: tuple[str, str] | None
) -> None:
    out, base = tmp_path / "out.gguf", BaseFacts.of(read_header(demo_base))
    files = [adapter(tmp_path / f"{'x' * n}.gguf", demo_base, *texts) for n, texts in ((1, first), (2, second))]
    report = merged(demo_base, out, *files)
    facts = BaseFacts.of(read_header(out))
    assert (facts.chat_template, facts.system_prompt) == (expected or (base.chat_template, None))
    assert sum("different" in note for note in report.notes) == (0 if expected else 2)


def test_what_does_nothing_brings_nothing(demo_base: Path, tmp_path: Path) -> None:
    file, out = adapter(tmp_path / "law.gguf", demo_base, TEMPLATE, SYSTEM, ENDS), tmp_path / "out.gguf"
    assert merged(demo_base, out, MergeMember(file, 0.0)).carried == ()
    before, after = read_header(demo_base).metadata, read_header(out).metadata
    assert [key for key in after if not key.startswith("edgelora.merge.")] == list(before)
    assert after["tokenizer.chat_template"] == before["tokenizer.chat_template"]


def test_the_bases_own_template_is_not_replaced(demo_base: Path, tmp_path: Path) -> None:
    own = BaseFacts.of(read_header(demo_base)).chat_template
    assert own
    assert merged(demo_base, tmp_path / "out.gguf", adapter(tmp_path / "a.gguf", demo_base, own)).carried == ()


def test_a_second_merge_keeps_what_the_first_brought(demo_base: Path, tmp_path: Path) -> None:
    first, both = tmp_path / "first.gguf", tmp_path / "both.gguf"
    merged(demo_base, first, adapter(tmp_path / "one.gguf", demo_base, TEMPLATE, SYSTEM, ENDS[:1]))
    merged(first, both, MergeMember(adapter(tmp_path / "two.gguf", demo_base, ends=ENDS[1:2]), 0.5))
    facts = BaseFacts.of(read_header(both))
    assert (facts.chat_template, facts.system_prompt, facts.end_tokens) == (TEMPLATE, SYSTEM, ENDS[:2])
    assert [(used.name, used.scale) for used in baked_into(read_header(both))] == [("one", 1.0), ("two", 0.5)]
    with Model(both) as model:
        found = [model.tokenize(text, parse_special=True, add_special=False) for text in ENDS[:2]]
        assert all(model.ends_generation(token) for (token,) in found)
