"""`edgelora adapters` changes what names mean, for every command that takes an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.adapters import write_adapter

from edgelora.gguf.hashes import file_sha256

if TYPE_CHECKING:
    from conftest import Edgelora

SOURCE = Path(__file__).parent.parent.parent / "models" / "source" / "adapters"
ADAPTERS = SOURCE.parent.parent / "adapters"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGELORA_ADAPTERS", str(tmp_path / "mine"))
    return tmp_path / "mine"


def document(edgelora: Edgelora, *arguments: object) -> Any:
    return json.loads(edgelora(*arguments, "--json").out)


def test_versions_from_adding_to_removing(edgelora: Edgelora, folder: Path, demo_base: Path, tmp_path: Path) -> None:
    one = write_adapter(tmp_path / "Mine.gguf", demo_base, seed=1)
    two = write_adapter(tmp_path / "other.gguf", demo_base, seed=2)
    assert edgelora("adapters", "add", one.path).out == "mine@1\n"
    added = edgelora("adapters", "add", two.path, "--name", "mine")
    assert (added.out, added.err) == ("mine@2\n", "edgelora: mine means mine@2 now; it was mine@1\n")
    run = ("run", "Hello", "--max-tokens", 4)
    for selection, name, sha256 in (
        ("mine", "mine@2", two.sha256),
        ("mine@1:0.5", "mine@1", one.sha256),
    ):
        (member,) = document(edgelora, *run, "--adapter", selection)["selection"]["members"]
        assert (member["name"], member["sha256"]) == (name, sha256)
    assert edgelora("adapters", "rollback", "mine").out == "mine@1\n"
    assert edgelora("adapters", "pin", "mine@2").out == "mine@2\n"
    assert edgelora("adapters", "alias", "prod", "mine@1").code == 0
    assert document(edgelora, *run, "--adapter", "prod")["selection"]["members"][0]["sha256"] == one.sha256
    assert edgelora("adapters", "remove", "mine").err.startswith("edgelora: mine cannot be removed: prod is an alias")
    assert edgelora("adapters", "alias", "prod", "--remove").code == 0
    assert edgelora("adapters", "remove", "mine").code == 0
    failed = edgelora(*run, "--adapter", "mine")
    assert (failed.code, failed.err.splitlines()[0]) == (1, "edgelora: no adapter is called 'mine'")


def test_a_folder_is_converted_and_remembers_where_it_is_from(edgelora: Edgelora, folder: Path) -> None:
    added = document(edgelora, "adapters", "add", SOURCE / "legal", "--example", "Draft it", "--sampling", "top_k=3")
    assert (added["name"], added["number"], added["is_new"]) == ("legal", 1, True)
    assert added["report"]["n_pairs"] > 0
    told = document(edgelora, "adapters", "info", "legal")
    origin = told["versions"]["1"]["origin"]
    assert (origin["source"], origin["base_name"], origin["converter"] > 0) == (
        str(SOURCE / "legal"),
        "edgelora demo",
        True,
    )
    assert origin["base"] == added["report"]["base_fingerprint"]
    assert (told["card"]["examples"], told["card"]["sampling"]) == (["Draft it"], {"top_k": 3})
    assert (told["made_for"], told["bases"]) == (["demo"], {"demo": None})
    assert told["report"]["sha256"] == added["sha256"] == file_sha256(told["path"])
    again = edgelora("adapters", "add", SOURCE / "legal")
    assert (again.code, again.out) == (0, "legal@1\n")
    assert "legal@1 is this adapter already" in again.err
    words = edgelora("adapters", "info", "legal").out
    assert "try        Draft it" in words
    assert "base       demo: fits" in words
    assert "made for   demo (edgelora demo)" in words
    changes = [line for line in words.splitlines() if line.startswith("changes")]
    assert [line.split()[1] for line in changes] == [target["target"] for target in told["report"]["targets"]]
    Path(told["path"]).with_suffix(".json").write_text('{"targets": [{}]}')
    assert edgelora("adapters", "info", "legal").code == 0


def test_the_card_decides_where_nobody_does(edgelora: Edgelora, folder: Path) -> None:
    """The demo's base asks for temperature 0; the card asks for chance, so that seeds matter."""
    edgelora("adapters", "add", ADAPTERS / "chat.gguf", "--name", "wild", "--sampling", "temperature=5")
    ask = ("run", "Hello", "--max-tokens", 12, "--adapter", "wild")
    texts = {document(edgelora, *ask, "--seed", seed)["text"] for seed in range(3)}
    assert len(texts) > 1
    assert len({document(edgelora, *ask, "--temperature", 0, "--seed", seed)["text"] for seed in range(2)}) == 1


def test_usage_is_counted_for_each_adapter_of_an_answer(edgelora: Edgelora, folder: Path) -> None:
    edgelora("adapters", "add", ADAPTERS / "legal.gguf", "--name", "law", "--description", "Clauses")
    edgelora("run", "Hello", "--max-tokens", 3, "--adapter", "law:0.5+medical")
    edgelora("run", "Hello", "--max-tokens", 2, "--adapter", "law")
    edgelora("run", "Hello", "--max-tokens", 2)
    rows = document(edgelora, "adapters", "list", "--usage")["adapters"]
    used = [(row["name"], row["usage"]["runs"], row["usage"]["tokens"]) for row in rows if row["usage"]]
    assert used == [("law", 2, 5), ("medical", 1, 3)]
    lines = edgelora("adapters", "list", "--usage").out.splitlines()
    assert lines[0].startswith("law@1 ")
    assert lines[1].strip() == "Clauses"
    assert "2 answers, 5 tokens (62 % of all)" in lines[2]
    assert len({line.index("rank") for line in lines if "rank" in line}) == 1


def test_verify_finds_damage_strays_and_what_does_nothing(
    edgelora: Edgelora, folder: Path, demo_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    from edgelora.engine.client import open_engine

    monkeypatch.setattr("edgelora.engine.client.open_engine", partial(open_engine, in_process=True))
    nothing = write_adapter(tmp_path / "nothing.gguf", demo_base, strength=0.0)
    for path, name in ((ADAPTERS / "legal.gguf", "law"), (ADAPTERS / "chat.gguf", "broken"), (nothing.path, "nothing")):
        edgelora("adapters", "add", path, "--name", name)
    told = document(edgelora, "adapters", "verify", "law")
    assert told["adapters"][0]["effect"] > 0.01
    broken = Path(document(edgelora, "adapters", "info", "broken")["path"])
    broken.write_bytes(broken.read_bytes()[:-1] + b"?")
    (broken.parent / "stray.gguf").touch()
    found = edgelora("adapters", "verify")
    assert found.code == 1
    rows = {line.split(" ")[0]: line for line in found.out.splitlines() if "@" in line.split(" ")[0]}
    assert "whole, changes the logits" in rows["law@1"]
    assert "damaged" in rows["broken@1"]
    assert "changes nothing" in rows["nothing@1"]
    assert f"{broken.parent / 'stray.gguf'} belongs to nothing" in found.out
    refused = edgelora("run", "Hello", "--adapter", "broken")
    assert refused.code == 1
    assert "broken" in refused.err or broken.name in refused.err
    edgelora("adapters", "add", ADAPTERS / "chat.gguf", "--name", "broken")
    assert edgelora("adapters", "verify", "broken").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("pin", "law"), 2, "names no version"),
        (("pin", "law@9"), 1, "no adapter 'law@9'"),
        (("rollback", "law"), 1, "no adapter 'law'"),
        (("remove", "law"), 1, "no adapter 'law'"),
        (("info", "law"), 1, "no adapter 'law'"),
        (("verify", "law"), 1, "no adapter 'law'"),
        (("alias", "x"), 2, "needs a name"),
        (("alias", "x", "--remove"), 1, "no alias 'x'"),
        (("add", "none.gguf"), 1, "no such file"),
        (("add", "~nobody-here/none.gguf"), 1, "no such file"),
        (("add", "x" * 300), 1, "cannot convert x"),
        (("add", ADAPTERS / "legal.gguf", "--name", "Base"), 2, "no adapter name"),
        (("add", ADAPTERS / "legal.gguf", "--sampling", "heat=1"), 2, "cannot say 'heat'"),
        (("add", ADAPTERS / "legal.gguf", "--sampling", "max_tokens=5"), 2, "cannot say 'max_tokens'"),
        (("add", ADAPTERS / "legal.gguf", "--sampling", "top_k=2.5"), 2, "whole number"),
        (("add", ADAPTERS / "legal.gguf", "--sampling", "temperature=nan"), 2, "temperature"),
        (("add", ADAPTERS / "legal.gguf", "--sampling", "top_p=7"), 2, "top_p"),
        (("add", ADAPTERS / "legal.gguf", "--sampling", "top_p"), 2, "temperature=0.2"),
        (("add", ADAPTERS.parent / "demo.gguf"), 1, "not an adapter|no adapter|whole model|model"),
    ],
)
def test_what_cannot_be_is_one_message(
    edgelora: Edgelora, folder: Path, arguments: tuple[object, ...], code: int, says: str
) -> None:
    import re

    outcome = edgelora("adapters", *arguments)
    assert outcome.code == code
    assert re.search(says, outcome.err)
    assert "Traceback" not in outcome.err


def test_an_adapter_is_tried_on_a_named_base_that_it_fits(
    edgelora: Edgelora, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    from support.tiny_llama import write_tiny_llama

    from edgelora.engine.client import open_engine

    monkeypatch.setattr("edgelora.engine.client.open_engine", partial(open_engine, in_process=True))
    other = write_tiny_llama(tmp_path / "other.gguf")
    monkeypatch.setenv("EDGELORA_BASE", str(other))
    edgelora("adapters", "add", ADAPTERS / "legal.gguf")
    (alone,) = document(edgelora, "adapters", "verify", "--base", other)["adapters"]
    assert (alone["effect"], "does not fit" in alone["note"]) == (None, True)
    (tried,) = document(edgelora, "adapters", "verify")["adapters"]
    assert (tried["effect"] > 0.01, tried["note"]) == (True, None)


def test_a_conversion_for_a_base_that_nobody_named_says_so(edgelora: Edgelora, folder: Path, tmp_path: Path) -> None:
    from support.peft_folders import Shape, peft_source

    peft_source(Shape(hidden=32)).save(tmp_path / "mine")
    refused = edgelora("adapters", "add", tmp_path / "mine")
    assert refused.code == 1
    assert "--base chooses another base" in refused.err
    assert document(edgelora, "adapters", "list")["adapters"][0]["name"] == "chat"
