"""The clients that an installation is born with: where their keys come from."""

import json
from pathlib import Path

import pytest

from tillit_server.issuer.clients.rules import ClientError
from tillit_server.issuer.clients.seeds import read_seeds

CLIENT = """
[[client]]
id = "seed"
development_key = {key}
legal_entities = ["310000019"]
scopes = []
grants = ["client_credentials"]
"""


def seeded(home: Path, key: str, *, development: bool = True) -> str:
    """The algorithm of the key that a seed gets."""
    directory = home / "clients"
    directory.mkdir(exist_ok=True)
    (directory / "seed.toml").write_text(CLIENT.format(key=key), encoding="utf-8")
    (client,) = read_seeds(directory, development_keys=home / "keys" if development else None)
    return str(client.keys[0].key.alg)


@pytest.mark.parametrize(("key", "alg"), [("true", "ES256"), ('"PS256"', "PS256"), ('"EdDSA"', "EdDSA")])
def test_a_development_key_is_of_the_algorithm_that_is_wanted(key: str, alg: str, tmp_path: Path):
    """ES256 where nothing is said; made once, and found again, in a file that nobody else may read."""
    assert seeded(tmp_path, key) == alg
    file = tmp_path / "keys" / "seed.jwk"
    made = json.loads(file.read_bytes())
    assert (made["alg"], file.stat().st_mode & 0o777) == (alg, 0o600)
    assert seeded(tmp_path, key) == alg
    assert json.loads(file.read_bytes()) == made


@pytest.mark.parametrize("key", ['"RS256"', '"HS256"', '"none"', '"x"'])
def test_no_development_key_of_another_algorithm(key: str, tmp_path: Path):
    """What no client may sign with is not made."""
    with pytest.raises(ClientError, match="development_key"):
        seeded(tmp_path, key)


def test_no_development_key_in_production(tmp_path: Path):
    """Outside development mode a seed brings public keys of its own."""
    with pytest.raises(ClientError, match="development mode"):
        seeded(tmp_path, "true", development=False)


def test_a_seed_may_say_where_its_keys_are_published(tmp_path: Path):
    """A seed with a `jwks_uri` needs no file of keys, and must not have one beside it."""
    seed = CLIENT.replace("development_key = {key}", 'jwks_uri = "https://keys.example/jwks"\n{key}')
    (tmp_path / "seed.toml").write_text(seed.format(key=""), encoding="utf-8")
    (client,) = read_seeds(tmp_path, development_keys=None)
    assert (client.jwks_uri, client.keys) == ("https://keys.example/jwks", ())

    (tmp_path / "seed.toml").write_text(seed.format(key="development_key = true"), encoding="utf-8")
    with pytest.raises(ClientError, match="jwks_uri: not beside keys"):
        list(read_seeds(tmp_path, development_keys=tmp_path / "keys"))
