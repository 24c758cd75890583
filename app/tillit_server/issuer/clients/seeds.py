"""The clients an installation is born with: ``clients/*.toml`` in its configuration directory."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tillit.protocol.errors import Rejected
from tillit.protocol.gate import read_json
from tillit.protocol.jose import ALGORITHMS
from tillit_server.issuer.clients.client import Client, client_from
from tillit_server.issuer.clients.rules import ClientError
from tillit_server.issuer.development_keys import development_key

_SOURCES = frozenset({"development_key", "jwks_file"})


def read_seeds(directory: Path, *, development_keys: Path | None) -> Iterator[Client]:
    """The clients of every ``*.toml`` in ``directory``.

    ``development_keys``: where keys of ``development_key`` clients lie or are made; None outside
    development mode, where such seeds are refused. Raises ``ClientError``.
    """
    for path in sorted(directory.glob("*.toml")):
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ClientError(f"clients/{path.name}: {error}") from error
        for entry in document.get("client", []):
            members = {name: entry[name] for name in entry if name not in _SOURCES}
            published = "jwks_uri" in entry and _SOURCES.isdisjoint(entry)
            keys = [] if published else _keys(entry, directory, development_keys)
            yield client_from({**members, "keys": keys})


def _keys(entry: dict[str, Any], directory: Path, development_keys: Path | None) -> list[Any]:
    if entry.get("development_key"):
        if development_keys is None:
            raise ClientError(f"{entry.get('id')}: development_key belongs to development mode")
        wanted = entry["development_key"]
        alg = wanted if isinstance(wanted, str) else "ES256"
        if alg not in ALGORITHMS:
            raise ClientError(f"{entry.get('id')}: development_key: true or an algorithm needed")
        return [dict(development_key(development_keys / f"{entry['id']}.jwk", alg).public.jwk)]
    try:
        document = read_json((directory / entry["jwks_file"]).read_bytes())
    except (KeyError, OSError, Rejected) as error:
        raise ClientError(
            f"{entry.get('id')}: jwks_file, a readable JWK or JWKS, or jwks_uri needed"
        ) from error
    return list(document.get("keys", [document])) if isinstance(document, dict) else []
