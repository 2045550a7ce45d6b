"""Keys, tenants and what each of them may do; who may reach the server at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from edgelora.errors import ConfigError, UsageError
from edgelora.server.host import Running
from edgelora.server.options import ServerOptions
from edgelora.server.tenants import Tenants
from edgelora.types import Request
from tests.server.serving import Http, local, until

if TYPE_CHECKING:
    from edgelora.server.running import Server

KEY, ACME, ZETA = "operator-0123456789", "acme-key-0123456789", "zeta-key-0123456789"
FILE = f"""
[tenants.acme]
key = "{ACME}"
selections = ["first"]
default = "first:0.5"
max_running = 1
max_tokens = 5

[tenants.zeta]
key_sha256 = "{hashlib.sha256(ZETA.encode()).hexdigest()}"
when_missing = "base"
"""
ASK: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 8}


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tenants") / "tenants.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    (root / "folder").mkdir()
    (root / "pickled.bin").write_bytes(b"x")
    return root


@pytest.fixture(scope="module")
def options(tenants: Path, root: Path) -> ServerOptions:
    return local(keys=(KEY,), tenants=tenants, adapter_roots=(root,))


@pytest.fixture
def clients(server: Server) -> Iterator[dict[str, Http]]:
    clients = {name: Http(server.address, key) for name, key in (("operator", KEY), ("acme", ACME), ("zeta", ZETA))}
    yield clients
    for client in clients.values():
        client.client.close()


@pytest.mark.parametrize("key", ["", "wrong", KEY[:-1], KEY + "x"])
def test_nothing_without_a_key_but_health(server: Server, key: str) -> None:
    client = Http(server.address, key).client
    for path in ("/v1/models", "/metrics", "/slots", "/props", "/lora-adapters", "/nowhere"):
        response = client.get(path)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
    assert client.get("/health").status_code == 200
    client.close()


def test_a_key_may_come_as_llama_server_wants_it(server: Server) -> None:
    assert httpx2.get(f"{server.address}/v1/models", headers={"x-api-key": KEY}, timeout=100).status_code == 200


def test_a_tenant_sees_and_uses_its_own(clients: dict[str, Http], folder: Path) -> None:
    acme = clients["acme"]
    assert [one["id"] for one in acme.get("/v1/models")["data"]] == ["first"]
    assert [one["name"] for one in acme.get("/lora-adapters")] == ["first"]
    for model in ("base", "second", "first+second", "legal"):
        assert acme.refused("/v1/completions", {**ASK, "model": model}, 404)["code"] == "model_not_found"
    said = acme.refused("/v1/completions", {**ASK, "model": "secon"}, 404)["message"]
    assert "second" not in said
    assert str(folder) not in said
    made = acme.post("/v1/completions", **ASK)
    assert made["edgelora"]["selection"] == "first:0.5"
    assert made["usage"]["completion_tokens"] <= 5
    assert clients["operator"].post("/v1/completions", **ASK)["edgelora"]["selection"] == "base"


def test_a_tenant_has_no_more_answers_at_a_time_than_it_may(server: Server, clients: dict[str, Http]) -> None:
    acme, another = clients["acme"], Running(Request("another", (1,)), "acme")
    server.loop.call_soon_threadsafe(server.host.begin, another)
    for path, body in (("/v1/completions", ASK), ("/v1/embeddings", {"input": "x"})):
        response = acme.client.post(path, json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (429, "too_many_requests")
        assert int(response.headers["retry-after"]) >= 1
    assert clients["operator"].post("/v1/completions", **ASK, n=2)["choices"]
    server.loop.call_soon_threadsafe(server.host.end, another)
    assert acme.post("/v1/completions", **ASK)["choices"]


def test_more_answers_than_a_tenant_may_ever_have_are_no_matter_of_time(clients: dict[str, Http]) -> None:
    assert clients["acme"].refused("/v1/completions", {**ASK, "n": 2}, 400)["param"] == "n"


def test_what_a_tenant_may_not_use_does_not_exist_for_it(clients: dict[str, Http], root: Path) -> None:
    acme, operator = clients["acme"], clients["operator"]
    assert operator.post("/v1/completions", **ASK, model="second")["choices"]
    numbers = {one["name"]: one["id"] for one in operator.get("/lora-adapters")}
    refusals = [
        acme.refused("/v1/completions", {**ASK, "lora": [{"id": number}]}, 404) for number in (numbers["second"], 999)
    ]
    assert refusals[0] == refusals[1]
    assert (
        acme.refused("/v1/completions", {**ASK, "model": "second"}, 404)["message"].replace("second", "nobody")
        == (acme.refused("/v1/completions", {**ASK, "model": "nobody"}, 404)["message"])
    )
    for path in ("folder", "pickled.bin", "none"):
        said = acme.refused("/v1/completions", {**ASK, "model": f"./{path}"}, 404)
        assert (
            said["message"].replace(path, "x")
            == acme.refused("/v1/completions", {**ASK, "model": "./x"}, 404)["message"]
        )
    operator.refused("/v1/completions", {**ASK, "model": "./pickled.bin"}, 400)
    assert 'adapter="second"' in operator.client.get("/metrics").text
    assert 'adapter="second"' not in acme.client.get("/metrics").text


def test_scales_are_each_tenants_own(clients: dict[str, Http]) -> None:
    number = next(one["id"] for one in clients["zeta"].get("/lora-adapters") if one["name"] == "second")
    clients["zeta"].post_list("/lora-adapters", [{"id": number, "scale": 0.5}])
    assert clients["zeta"].post("/v1/completions", **ASK)["edgelora"]["selection"] == "second:0.5"
    assert clients["operator"].post("/v1/completions", **ASK)["edgelora"]["selection"] == "base"
    clients["acme"].refused("/lora-adapters", [{"id": number, "scale": 1.0}], 404)
    clients["zeta"].post_list("/lora-adapters", [])


def test_what_cannot_be_loaded_is_the_base_where_that_is_wanted_and_says_so(clients: dict[str, Http]) -> None:
    made = clients["zeta"].post("/v1/completions", **ASK, model="gone")
    assert made["edgelora"]["selection"] == "base"
    assert "gone" in made["edgelora"]["fallback"]
    assert made["choices"] == clients["operator"].post("/v1/completions", **ASK)["choices"]
    response = clients["zeta"].client.post("/v1/completions", json={**ASK, "model": "gone"})
    assert "gone" in response.headers["x-edgelora-fallback"]
    clients["operator"].refused("/v1/completions", {**ASK, "model": "gone"}, 404)


def test_a_change_of_the_file_is_noticed(server: Server, clients: dict[str, Http], tenants: Path) -> None:
    tenants.write_text(FILE.replace('["first"]', '["second"]'))
    until(lambda: [one["id"] for one in clients["acme"].get("/v1/models")["data"]] == ["second"])
    tenants.write_text("no TOML [")
    until(lambda: not server.host.tenants.refresh() and server.host.tenants._read == server.host.tenants._stat())
    assert [one["id"] for one in clients["acme"].get("/v1/models")["data"]] == ["second"]
    tenants.write_text(FILE)
    until(lambda: [one["id"] for one in clients["acme"].get("/v1/models")["data"]] == ["first"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no tenants"),
        ("[tenants.a]\nkey = 'short'", r"\[tenants\.a\]: key must be a text of 16"),
        ("[tenants.a]\nselections = ['x']", "either key or key_sha256"),
        (f"[tenants.a]\nkey = '{KEY}'\nlimit = 3", "has 'limit', which means nothing\nThere are: key, "),
        (f"[tenants.a]\nkey = '{KEY}'\nselections = 'legal'", r"selections must be a list of names"),
        (f"[tenants.a]\nkey = '{KEY}'\nselections = [3]", r"selections must be a list of names"),
        (f"[tenants.a]\nkey = '{KEY}'\nmax_running = '4'", "max_running must be a whole number from 1"),
        (f"[tenants.a]\nkey = '{KEY}'\nwhen_missing = 'nothing'", 'must be "error" or "base"'),
        (f"[tenants.a]\nkey = '{KEY}'\nbaked = 'yes'", "baked must be true or false"),
        ("[tenants.a]\nkey_sha256 = 'abc'", "key_sha256 must be 64 hexadecimal digits"),
        ("[tenants]\na = 3", "tenants.a is no table"),
        (f"[tenants.a]\nkey = '{KEY}'\n[tenants.b]\nkey = '{KEY}'", "the same key"),
        ("tenants = [", "is not TOML"),
        (f"[tenants.a]\nkey = '{KEY}'\nbaked = true", "a default that names an adapter"),
        (f"[tenants.a]\nkey = '{KEY}'\nbaked = true\ndefault = 'legal:0'", "a default that names an adapter"),
        (f"[tenants.a]\nkey = '{KEY}'\nbaked = true\ndefault = 'a+'", "a member is missing"),
    ],
)
def test_a_file_that_means_nothing_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        Tenants(path=path)
    with pytest.raises(ConfigError, match="cannot be read"):
        Tenants(path=tmp_path / "none")


def test_a_file_is_read_again_when_nobody_writes_it_any_more(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(whole := f"[tenants.a]\nkey = '{ACME}'\n[tenants.b]\nkey = '{ZETA}'\n")
    tenants = Tenants(path=path)
    path.write_text(f"[tenants.a]\nkey = '{ACME}'\n")  # the half of it is a file too
    assert not tenants.refresh()
    assert tenants.who(ZETA)
    path.write_text(whole)
    assert not tenants.refresh()
    assert tenants.who(ZETA)
    path.write_text(f"[tenants.b]\nkey = '{ZETA}'\n")
    assert not tenants.refresh()
    assert tenants.who(ACME)
    assert not tenants.refresh()
    assert not tenants.who(ACME)


def test_the_defaults_of_hot_tenants_are_to_be_baked(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(f"""
        [tenants]
        a = {{ key = "{ACME}", default = "legal:0.50+medical", baked = true }}
        b = {{ key = "{ZETA}", default = "medical" }}
    """)
    assert Tenants(path=path).baked == ("legal:0.5+medical",)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org"])
def test_other_machines_need_a_key_or_permission(host: str) -> None:
    with pytest.raises(UsageError, match="everybody"):
        ServerOptions(host=host).require_safe()
    ServerOptions(host=host, keys=(KEY,)).require_safe()
    ServerOptions(host=host, open_to_all=True).require_safe()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_none(host: str) -> None:
    ServerOptions(host=host).require_safe()
