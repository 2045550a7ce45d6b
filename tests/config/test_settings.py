from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from edgelora.config import locations
from edgelora.config.resolved import base_path, engine_config, history_path, sampling_params
from edgelora.config.settings import NAMES, load_settings
from edgelora.errors import ConfigError, UsageError
from edgelora.types import SamplingParams


@pytest.fixture(autouse=True)
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setattr(locations, "config_file", lambda: path)
    for name in NAMES:
        monkeypatch.delenv(f"EDGELORA_{name.upper()}", raising=False)
    return path


def test_nothing_said_is_the_defaults() -> None:
    settings = load_settings({"temperature": None})
    assert set(asdict(settings).values()) == {None}
    assert sampling_params(settings, {}) == SamplingParams()


def test_option_over_environment_over_file_over_hint_over_default(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints = {"temp": 0.5, "top_k": 50.0, "top_p": 0.5, "min_p": 0.5, "penalty_repeat": 1.5}
    config_file.write_text("temperature = 0.4\ntop_k = 40\ntop_p = 0.4\nmin_p = 0.4\n")
    monkeypatch.setenv("EDGELORA_TEMPERATURE", "0.3")
    monkeypatch.setenv("EDGELORA_TOP_K", "30")
    monkeypatch.setenv("EDGELORA_TOP_P", "0.3")
    settings = load_settings({"temperature": 0.2, "top_k": 20})
    sampling = sampling_params(settings, hints, max_tokens=7)
    assert sampling == SamplingParams(
        max_tokens=7, temperature=0.2, top_k=20, top_p=0.3, min_p=0.4, repeat_penalty=1.5, seed=None
    )


def test_hints_that_mean_nothing_are_left_out() -> None:
    hints = {"temp": -1.0, "top_p": 0.0, "mirostat": 2.0, "top_k": 7.0}
    assert sampling_params(load_settings({}), hints) == SamplingParams(top_k=7)


def test_the_home_of_nobody_is_a_path_like_others(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config_file.write_text('history = "~nobody-here/h"\nparked_folder = "~nobody-here/p"\n')
    settings = load_settings({})
    assert history_path(settings) == Path("~nobody-here/h")
    assert engine_config(settings).parked_folder == Path("~nobody-here/p")
    monkeypatch.setenv("EDGELORA_CHAT_STATE", "~nobody-here/s")
    assert locations.chat_state_file() == Path("~nobody-here/s")


def test_the_history_is_in_a_file_or_off(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert history_path(load_settings({})) == locations.history_file()
    config_file.write_text("history = false\n")
    assert history_path(load_settings({})) is None
    monkeypatch.setenv("EDGELORA_HISTORY", "~/mine.sqlite3")
    assert history_path(load_settings({})) == Path.home() / "mine.sqlite3"
    assert history_path(load_settings({"history": False})) is None
    for off in ("off", "False"):
        monkeypatch.setenv("EDGELORA_HISTORY", off)
        assert history_path(load_settings({})) is None


def test_every_setting_can_come_from_the_file(config_file: Path) -> None:
    config_file.write_text(
        'base = "~/b.gguf"\nadapter = "legal:0.5"\nctx = 512\nthreads = 3\ngpu_layers = 1\ntemplate = "chatml"\n'
        'system = "Be brief."\ntemperature = 0\ntop_k = 1\ntop_p = 1\nmin_p = 0\nrepeat_penalty = 1.1\nseed = 5\n'
        'stop = ["a", "b"]\nadapter_memory = "256MB"\nprepared_memory = "1GiB"\nparked_memory = 0\n'
        'parked_folder = "~/parked"\nhistory = "~/h.sqlite3"\n'
        'bases = "~/bases"\ntheme = "terminal"\nkeys = {adapters = "f7"}\n'
    )
    settings = load_settings({})
    assert None not in asdict(settings).values()
    assert settings.stop == ("a", "b")


@pytest.mark.parametrize(("text", "stop"), [("###", ("###",)), ('["a", "b"]', ("a", "b"))])
def test_stop_in_the_environment(monkeypatch: pytest.MonkeyPatch, text: str, stop: tuple[str, ...]) -> None:
    monkeypatch.setenv("EDGELORA_STOP", text)
    assert load_settings({}).stop == stop


def test_ctx_auto_is_the_bases_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    base = tmp_path / "b.gguf"
    base.touch()
    monkeypatch.setenv("EDGELORA_CTX", "1024")
    assert engine_config(load_settings({"base": base})).ctx == 1024
    assert engine_config(load_settings({"base": base, "ctx": "auto"})).ctx is None


def test_memory_and_folder_of_parked_conversations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    base = tmp_path / "b.gguf"
    base.touch()
    assert engine_config(load_settings({"base": base})).parked_bytes is None
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EDGELORA_PARKED_MEMORY", "3MiB")
    monkeypatch.setenv("EDGELORA_PARKED_FOLDER", "~/parked")
    config = engine_config(load_settings({"base": base}))
    assert (config.parked_bytes, config.parked_folder) == (3 * 2**20, tmp_path / "parked")


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("temperature = 'hot'", "temperature in .*config.toml: 'hot' is not possible; it must be a number"),
        ("top_p = 0.0", "top_p in .*config.toml: 0.0 is not possible; it must be above 0 and at most 1"),
        ("ctx = 3", "ctx in .*config.toml: 3 is not possible; it must be 16 or more"),
        ("temprature = 1", "temprature in .*: there is no such setting; did you mean temperature?"),
        ("temperature = =", "config.toml is not TOML: .*line 1"),
        ("adapter_memory = 256", "adapter_memory in .*config.toml: 256 is not possible; .* its unit, such as 256MB"),
        ("adapter_memory = '0'", "adapter_memory in .*config.toml: '0' is not possible; it must be more than 0"),
        ("adapter = 3", "adapter in .*config.toml: 3 is not possible; it must be text"),
        ("base = true", "base in .*config.toml: True is not possible; it must be a path"),
        ("threads = 1.5", "threads in .*config.toml: 1.5 is not possible; it must be a whole number"),
        ("top_p = true", "top_p in .*config.toml: True is not possible; it must be a number"),
        ("min_p = nan", "min_p in .*config.toml: nan is not possible; it must be a number"),
        ("stop = [1]", "stop in .*config.toml: .1. is not possible; it must be a string or a list of strings"),
        ("keys = {adapters = 7}", "keys in .*config.toml: .*must be a table of names and texts"),
        (f"top_p = {10**400}", "top_p in .*config.toml: .* is too large"),
        ("[base]\nname = 'x'", "base in .*config.toml: .* must be a path"),
        ("stop = ['']", "stop in .*config.toml: .*strings that are not empty"),
    ],
)
def test_a_wrong_line_in_the_file_is_named(config_file: Path, toml: str, says: str) -> None:
    config_file.write_text(toml)
    with pytest.raises(ConfigError, match=says):
        load_settings({})


def test_a_wrong_variable_and_a_wrong_option_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELORA_SEED", "-4")
    with pytest.raises(ConfigError, match=r"EDGELORA_SEED in the environment: .-4. .* between 0 and 4294967294"):
        load_settings({})
    with pytest.raises(UsageError, match=r"^--top-k: -1 is not possible; it must be 0 .off. or more"):
        load_settings({"top_k": -1, "seed": 1})


def test_a_broken_list_in_the_environment_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELORA_STOP", "[a")
    with pytest.raises(ConfigError, match=r"EDGELORA_STOP"):
        load_settings({})


def test_keys_in_the_environment_are_json(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config_file.write_text("[keys]\nadapters = 'f7'\n")
    assert load_settings({}).keys == {"adapters": "f7"}
    monkeypatch.setenv("EDGELORA_KEYS", '{"picker.mix": "tab"}')
    assert load_settings({}).keys == {"picker.mix": "tab"}
    monkeypatch.setenv("EDGELORA_KEYS", "tab")
    with pytest.raises(ConfigError, match=r"EDGELORA_KEYS in the environment: 'tab' is not possible; .* a table"):
        load_settings({})


def test_an_empty_variable_says_nothing_and_case_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGELORA_SEED", "")
    monkeypatch.setenv("edgelora_top_k", "7")
    monkeypatch.setenv("EDGELORA_OTHER", "7")
    assert (load_settings({}).seed, load_settings({}).top_k) == (None, 7)


def test_a_file_that_cannot_be_read_is_named(config_file: Path) -> None:
    config_file.mkdir()
    with pytest.raises(ConfigError, match=r"config.toml cannot be read \(Is a directory\)"):
        load_settings({})


def test_all_problems_are_listed(config_file: Path) -> None:
    config_file.write_text("seed = 'x'\nthreads = 0\n")
    with pytest.raises(ConfigError, match=r"(?s)threads.*seed"):
        load_settings({})


def test_a_missing_base_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no base at .*none.gguf"):
        base_path(load_settings({"base": tmp_path / "none.gguf"}))
