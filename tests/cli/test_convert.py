from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest
from edgelora_convert.convert import convert
from edgelora_convert.encode import DType
from edgelora_convert.options import MoeBLayout
from edgelora_convert.report import ConversionReport, Spread
from huggingface_hub import close_session
from hypothesis import given
from hypothesis import strategies as st
from support.hub_server import COMMIT, Hub, Repo, serving, use_hub
from support.peft_folders import Shape, peft_source, write_base

from edgelora.cli.conversion import print_report
from edgelora.cli.sources import DTYPES, MOE_B_LAYOUTS
from edgelora.gguf.hashes import file_sha256
from edgelora.gguf.reader import read_header

if TYPE_CHECKING:
    from conftest import Edgelora

SHAPE = Shape()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_base(tmp_path / "base.gguf", SHAPE)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return peft_source(SHAPE).save(tmp_path / "my-lora")


def test_the_path_alone_goes_to_stdout(edgelora: Edgelora, base: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    outcome = edgelora("convert", source, "--base", base, "-o", out)
    assert (outcome.code, outcome.out) == (0, f"{out}\n")
    assert file_sha256(out) in outcome.err
    assert "attn_q" in outcome.err


def test_json_is_one_document(edgelora: Edgelora, base: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    report = json.loads(edgelora("convert", source, "--base", base, "-o", out, "--dtype", "f32", "--json").out)
    assert report["sha256"] == file_sha256(out)
    assert report["types"] == {"F32": 8}


def test_without_a_name_it_is_the_folders_and_nothing_is_replaced(
    edgelora: Edgelora, base: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert edgelora("convert", source, "--base", base).out == "my-lora.gguf\n"
    before = (tmp_path / "my-lora.gguf").stat()
    again = edgelora("convert", source, "--base", base)
    assert again.code == 2
    assert "my-lora.gguf exists already" in again.err
    assert (tmp_path / "my-lora.gguf").stat() == before
    for same in (source / "adapter_model.safetensors", tmp_path / "my-lora.gguf", tmp_path / "elsewhere/../my-lora"):
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        assert "my-lora.gguf exists already" in edgelora("convert", same, "--base", base).err


def test_a_refusal_lists_its_reasons_and_writes_nothing(
    edgelora: Edgelora, base: Path, source: Path, tmp_path: Path
) -> None:
    config = json.loads((source / "adapter_config.json").read_text())
    (source / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True, "bias": "all"}))
    outcome = edgelora("convert", source, "--base", base, "-o", tmp_path / "out.gguf")
    assert (outcome.code, outcome.out) == (1, "")
    assert "DoRA" in outcome.err
    assert "bias" in outcome.err
    assert {path.name for path in tmp_path.glob("*.*")} == {"base.gguf"}


def test_everything_of_the_converter_is_offered() -> None:
    assert set(DTYPES) == set(get_args(DType))
    assert set(MOE_B_LAYOUTS) == set(get_args(MoeBLayout))


def test_several_become_one(edgelora: Edgelora, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sources = [peft_source(SHAPE).save(tmp_path / name) for name in ("one", "two")]
    alone = json.loads(edgelora("convert", sources[0], "--base", base, "--json").out)
    both = json.loads(edgelora("convert", *sources, "--base", base, "--scale", "1", "--scale", "0.5", "--json").out)
    assert both["out"] == "one+two.gguf"
    for row, row_alone in zip(both["targets"], alone["targets"], strict=True):
        assert row["ranks"] == [2 * rank for rank in row_alone["ranks"]]


def test_only_what_was_chosen_is_converted(edgelora: Edgelora, base: Path, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gguf"
    chosen = ("--layers", "1-5", "--modules", "attn_q, ")
    assert edgelora("convert", source, "--base", base, "-o", out, *chosen).code == 0
    assert {name.partition(".weight")[0] for name in read_header(out).tensors} == {"blk.1.attn_q"}


@pytest.mark.parametrize("layers", ["", "x", "3-", "-3", "5-2", "1,,2", "1-99999", "²", "0x1"])
def test_layers_that_are_none(edgelora: Edgelora, layers: str) -> None:
    outcome = edgelora("convert", "src", "--base", "base.gguf", f"--layers={layers}")
    assert outcome.code == 2
    assert "write it like 0-11,20" in outcome.err


def test_options_that_do_not_fit_the_sources(edgelora: Edgelora, base: Path, source: Path) -> None:
    scales = edgelora("convert", source, "--base", base, "--scale", "1", "--scale", "2")
    assert (scales.code, "2 times for 1 SRC" in scales.err) == (2, True)
    for scale in ("nan", "inf", "-inf"):
        outcome = edgelora("convert", source, "--base", base, "--scale", scale)
        assert (outcome.code, "--scale must be a number" in outcome.err) == (2, True)
    for option in ("--revision", "--subfolder"):
        outcome = edgelora("convert", source, "--base", base, option, "v1")
        assert (outcome.code, f"{option} is for a repository on the hub" in outcome.err) == (2, True)


def test_a_repository_on_the_hub(
    edgelora: Edgelora, base: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"best/{path.name}": path.read_bytes() for path in source.iterdir()}
    monkeypatch.chdir(tmp_path)
    with serving(Hub({"someone/theirs": Repo(files, {"v1": COMMIT})})) as hub:
        use_hub(hub.url, tmp_path / "home", monkeypatch)
        outcome = edgelora(
            "convert", "someone/theirs", "--base", base, "--revision", "v1", "--subfolder", "best", "--json"
        )
        close_session()
    report = json.loads(outcome.out)
    assert (report["out"], report["name"]) == ("theirs-best.gguf", "theirs-best")
    assert edgelora("convert", source, "--base", base, "-o", "here.gguf").code == 0
    there, here = read_header(Path("theirs-best.gguf")), read_header(Path("here.gguf"))
    assert there.tensors.keys() == here.tensors.keys()


def test_help_imports_nothing_heavy() -> None:
    code = "import sys\nfrom edgelora.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, "convert", "--help"], capture_output=True, text=True, check=True)
    assert not {"huggingface_hub", "httpx2", "numpy", "gguf", "safetensors", "rich"} & set(done.stderr.split())


# --- the table for people


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ConversionReport:
    """What a conversion of two layers reports, with one row in its table."""
    folder = tmp_path_factory.mktemp("report")
    source = peft_source(SHAPE).save(folder / "a-lora")
    made = convert(source, write_base(folder / "base.gguf", SHAPE), folder / "out.gguf")
    return replace(made, targets=made.targets[:1])


def with_row(report: ConversionReport, **fields: Any) -> ConversionReport:
    return replace(report, targets=(replace(report.targets[0], target="attn_q", **fields),))


def shown(report: ConversionReport, capsys: pytest.CaptureFixture[str]) -> str:
    print_report(report)
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (tuple(range(28)), "all 28"),
        ((0, 1, 2, 20), "0-2, 20"),
        ((27,), "27"),
        ((0, 2, 4, 6, 8), "5 of 28: 0, 2, 4, ..."),
    ],
)
def test_where_it_was_adapted(
    report: ConversionReport, layers: tuple[int, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"attn_q  {words} " in shown(replace(with_row(report, layers=layers), n_layers=28), capsys)


def test_many_values_are_a_range(report: ConversionReport, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(with_row(report, ranks=(4, 8, 16, 32), scales=(1.0, 2**0.5)), capsys)
    assert "4 to 32" in text
    assert "1, 1.414" in text


@pytest.mark.parametrize(
    ("trained_on", "words"),
    [(("", ""), "for tiny (llama)\n"), (("org/A", "org/A", "org/B"), "for tiny (llama), trained on org/A, org/B\n")],
)
def test_what_it_is_for(
    report: ConversionReport, trained_on: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in shown(replace(report, trained_on=trained_on), capsys)


@pytest.mark.parametrize(
    ("relative", "words"),
    [
        (Spread(0.0001, 0.01, 0.123), " 0.01 to 12 %"),
        (Spread(0.0123, 0.0123, 0.01231), " 1.2 %"),
        (Spread(0.0, 1e-6, 1e-6), " 0.00 to <0.01 %"),
        (None, " ?"),
    ],
)
def test_how_large_the_change_is(
    report: ConversionReport, relative: Spread | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"{words}\n" in shown(with_row(report, relative_change=relative), capsys)


def test_what_has_no_effect_shows_no_change(report: ConversionReport, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(with_row(report, relative_change=Spread(0.5, 0.5, 0.5), ignored=True), capsys)
    assert " ignored\n" in text
    assert "50 %" not in text


def test_warnings_are_whole_lines_and_cannot_steer_the_terminal(
    report: ConversionReport, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = replace(report, name="a\x1b[31m", warnings=("w" * 300, "[bold]\x1b]0;x"), trained_on=("\x1b",))
    text = shown(hostile, capsys)
    assert f"warning: {'w' * 300}" in text
    assert "warning: [bold]?]0;x" in text
    assert "\x1b" not in text


@given(st.sets(st.integers(0, 60), min_size=1))
def test_ranges_are_read_as_they_are_written(layers: set[int]) -> None:
    from edgelora.cli.conversion import _ranges
    from edgelora.cli.sources import _layers

    assert _layers(None, None, ",".join(_ranges(sorted(layers)))) == layers  # type: ignore[arg-type]
