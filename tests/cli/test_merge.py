from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from support.adapters import write_adapter
from support.split_gguf import split_gguf

from edgelora.cli.merging import print_trade
from edgelora.gguf.reader import read_header
from edgelora.merge.trade import Trade

if TYPE_CHECKING:
    from conftest import Edgelora

ROOT = Path(__file__).resolve().parents[2]


def test_the_document_has_what_scripts_need(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    outcome = edgelora("merge", "--base", demo_base, "--adapter", "legal", "-o", out, "--json")
    assert outcome.code == 0
    document = json.loads(outcome.out)
    for figure in ("kl_merged", "kl_effect", "top1_merged", "top1_effect", "adapter_kept", "peak_memory_bytes"):
        assert isinstance(document[figure], int | float)
    assert document["verdict"] == "passed"
    assert document["out"] == str(out)
    assert [(adapter["name"], adapter["scale"]) for adapter in document["adapters"]] == [("legal", 1.0)]
    for said in (
        "base + adapter at run time",
        "attn_q",
        "kept of the adapter's change: 100.0 %",
        "KL divergence",
        "passed",
    ):
        assert said in outcome.err


def test_what_changes_nothing_is_said_plainly(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    outcome = edgelora("merge", "--base", demo_base, "--adapter", "legal:0.001", "-o", out, "--json")
    assert (outcome.code, json.loads(outcome.out)["verdict"]) == (0, "no effect")
    assert "no effect: the adapter changes nothing measurable" in outcome.err


def test_names_work_for_a_split_base(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    parts, out = split_gguf(demo_base, tmp_path, 2), tmp_path / "out.gguf"
    outcome = edgelora("merge", "--base", parts[1], "--adapter", "legal", "-o", out, "--json", "--no-verify")
    assert (outcome.code, json.loads(outcome.out)["adapters"][0]["name"]) == (0, "legal")
    assert read_header(out).tensors.keys() == read_header(demo_base).tensors.keys()


def test_members_are_written_as_everywhere(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    mine, out = write_adapter(tmp_path / "mine.gguf", demo_base).path, tmp_path / "out.gguf"
    given = ("--adapter", f"{mine}:0.7", "--adapter", "legal:0.3+medical:-0.25")
    outcome = edgelora("merge", "--base", demo_base, *given, "-o", out, "--no-verify")
    assert (outcome.code, outcome.out) == (0, f"{out}\n")
    assert "not verified" in outcome.err
    header = read_header(out)
    assert list(header.metadata["edgelora.merge.adapters"]) == ["mine", "legal", "medical"]
    assert list(header.metadata["edgelora.merge.scales"]) == pytest.approx([0.7, 0.3, -0.25])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--adapter", "base"), 2, "nothing to bake in"),
        (("--adapter", "nobody"), 1, "no adapter is called 'nobody'"),
        (("--adapter", "./none.gguf"), 1, "none.gguf"),
        (("--adapter", "legal:x"), 2, "is not a number"),
        (("--adapter", "legal", "--precision", "q4_k_m"), 2, "needs --source"),
        (("--adapter", "legal", "--precision", "q3_k"), 2, "Invalid value"),
        (("--adapter", "legal", "--source", "./none"), 1, "no such file"),
        ((), 2, "Missing option '--adapter'"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    edgelora: Edgelora, demo_base: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    folder = tmp_path / "outs"
    folder.mkdir()
    outcome = edgelora("merge", "--base", demo_base, *arguments, "-o", folder / "out.gguf")
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_not_there_is_said_at_once(edgelora: Edgelora, demo_base: Path, tmp_path: Path) -> None:
    outcome = edgelora("merge", "--base", demo_base, "--adapter", "legal", "-o", tmp_path / "no" / "out.gguf")
    assert (outcome.code, outcome.out) == (2, "")
    assert "there is no folder" in outcome.err


def has_llama_beside_it(pid: int) -> bool:
    """Whether a process that the one of this ``pid`` has started runs llama.cpp by now."""
    with suppress(psutil.Error):
        children = psutil.Process(pid).children()
        return any("libllama" in mapped.path for child in children for mapped in child.memory_maps())
    return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_what_ends_it_leaves_nothing(demo_base: Path, tmp_path: Path, number: int, code: int) -> None:
    outs, temporary = tmp_path / "outs", tmp_path / "temporary"
    outs.mkdir()
    temporary.mkdir()
    command = ["merge", "--base", demo_base, "--adapter", "legal", "-o", outs / "out.gguf"]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgelora.cli", *map(str, command)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}", "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # tests may run under nohup
    )
    while process.poll() is None and not (any(outs.iterdir()) and has_llama_beside_it(process.pid)):
        time.sleep(0.01)  # until it is written, and being verified in another process
    assert any(temporary.iterdir())
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in said
    assert not any((*outs.iterdir(), *temporary.iterdir()))


# --- words


def a_trade(**changes: float) -> Trade:
    known = {"base_bytes": 1000, "adapter_bytes": 100, "merged_bytes": 1000, "adapter_speed": 0.8, "merged_speed": 1.0}
    return Trade(**(known | {"expected_kept": 1.0} | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trade", "advice"),
    [
        (a_trade(), "Baking in wins"),
        (a_trade(merged_bytes=2000), "faster and takes more room. With the unquantized base"),
        (a_trade(merged_bytes=2000, merged_speed=0.6), "slower and larger: better use the adapter at run time"),
        (a_trade(merged_speed=0.8), "no faster: better use"),
    ],
)
def test_advice_follows_from_the_figures(trade: Trade, advice: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_trade(trade, has_source=False)
    assert advice in capsys.readouterr().err


def test_with_a_source_nobody_is_sent_for_one() -> None:
    assert "--source" not in a_trade(merged_bytes=2000).advice(has_source=True)
    assert "--source" in a_trade(merged_bytes=2000).advice(has_source=False)
