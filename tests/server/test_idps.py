"""Identity providers are described by files, and a file that is wrong stops the start with one line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tillit.protocol.jose import generate_key, private_jwk
from tillit_server.issuer.login.idps import IdpError, IdpRegistry, load_idps

GOOD: dict[str, Any] = {
    "title": "ID-porten",
    "issuer": "https://idp.example",
    "client_id": "tillit",
    "key_file": "idporten.jwk",
    "levels": {"substantial": "3", "high": "4"},
}


def write(directory: Path, entry: dict[str, Any], name: str = "idporten", mode: int = 0o600) -> None:
    """Write a provider and our key there."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items() if not isinstance(value, dict)]
    for key, value in entry.items():
        if isinstance(value, dict):
            lines += [f"[{key}]", *(f"{json.dumps(word)} = {json.dumps(to)}" for word, to in value.items())]
    (directory / f"{name}.toml").write_text("\n".join(lines), encoding="utf-8")
    key = directory / "idporten.jwk"
    key.write_text(json.dumps(private_jwk(generate_key("ES256"))), encoding="utf-8")
    key.chmod(mode)


def test_a_good_file(tmp_path: Path) -> None:
    """The file's name is the provider's; claims and scope have their usual values."""
    write(tmp_path, GOOD)
    (idp,) = load_idps(tmp_path, development_keys=None)
    assert (idp.name, idp.title, idp.issuer, idp.client_id) == (
        "idporten",
        "ID-porten",
        "https://idp.example",
        "tillit",
    )
    assert idp.scope == "openid profile"
    assert idp.claims["pid"] == "pid"
    assert idp.words_for(None) == ()
    assert idp.words_for("3") == ("substantial", "high")
    assert idp.words_for("4") == ("high",)
    assert "key" not in repr(idp)


def test_claims_and_scope_may_be_named(tmp_path: Path) -> None:
    """What a provider calls its claims is data."""
    write(tmp_path, {**GOOD, "scope": "openid national", "claims": {"pid": "fnr", "level": "sec"}})
    (idp,) = load_idps(tmp_path, development_keys=None)
    assert (idp.scope, idp.claims["pid"], idp.claims["level"], idp.claims["name"]) == (
        "openid national",
        "fnr",
        "sec",
        "name",
    )


def test_no_directory_means_no_provider(tmp_path: Path) -> None:
    """An installation without logins needs no providers."""
    assert load_idps(tmp_path / "idps", development_keys=None) == ()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"title": ...}, "title: needed"),
        ({"levels": ...}, "levels: needed"),
        ({"issuer": "http://idp.example"}, "issuer: insecure_url"),
        ({"issuer": 7}, "issuer: a text needed"),
        ({"title": "a\u202eb"}, "title: a text needed"),
        ({"scope": "profile"}, "scope: openid needed"),
        ({"levels": {}}, "levels: words"),
        ({"levels": {"high": "5"}}, "levels: words"),
        ({"claims": {"pid": ""}}, "claims: names of claims"),
        ({"claims": {"shoe_size": "x"}}, "claims: names for some"),
        ({"client_secret": "x"}, "client_secret: unknown member"),
        ({"key_file": ...}, "key_file: needed"),
        ({"key_file": "nowhere.jwk"}, "key_file: cannot be read"),
        ({"development_key": True}, "development_key belongs to development mode"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    """The message names the file and the member."""
    write(tmp_path, {name: value for name, value in {**GOOD, **changes}.items() if value is not ...})
    with pytest.raises(IdpError) as refused:
        load_idps(tmp_path, development_keys=None)
    assert str(refused.value).startswith(f"idps/idporten.toml: {fault}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read(tmp_path: Path, mode: int) -> None:
    """A private key is for its owner's eyes only."""
    write(tmp_path, GOOD, mode=mode)
    with pytest.raises(IdpError, match="mode 0600 needed"):
        load_idps(tmp_path, development_keys=None)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"7", b"{}", b'{"kty":"oct","k":"AAAA"}', b"\xff", b"-----BEGIN"]
)
def test_a_key_that_is_none(tmp_path: Path, content: bytes) -> None:
    """What is no private JWK is refused, and not shown."""
    write(tmp_path, GOOD)
    (tmp_path / "idporten.jwk").write_bytes(content)
    with pytest.raises(IdpError, match="JWK"):
        load_idps(tmp_path, development_keys=None)


@pytest.mark.parametrize("name", ["ID-porten", "a b", "-a", "æ", "a" * 33])
def test_a_name_that_no_request_could_hold(tmp_path: Path, name: str) -> None:
    """The file's name is what acr_values says, so it is short and plain."""
    write(tmp_path, GOOD, name=name)
    with pytest.raises(IdpError, match="a file name"):
        load_idps(tmp_path, development_keys=None)


def test_what_is_no_toml(tmp_path: Path) -> None:
    """A file that cannot be read is named."""
    (tmp_path / "x.toml").write_text("= 1", encoding="utf-8")
    with pytest.raises(IdpError, match=r"idps/x\.toml"):
        load_idps(tmp_path, development_keys=None)


def test_finding_a_provider(tmp_path: Path) -> None:
    """By name; without a name only where there is one alone."""
    write(tmp_path, GOOD)
    write(tmp_path, {**GOOD, "title": "Another"}, name="another")
    another, idporten = load_idps(tmp_path, development_keys=None)
    both, one = IdpRegistry(another, idporten), IdpRegistry(idporten)
    assert both.find("idporten") is idporten
    assert both.find("nobody") is None
    assert both.find(None) is None
    assert one.find(None) is idporten
    assert (len(both), len(IdpRegistry())) == (2, 0)
    assert IdpRegistry().find(None) is None
