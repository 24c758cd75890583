"""The clients an installation is born with: ``clients/*.toml`` in its configuration directory."""

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from tillit.protocol.errors import Rejected
from tillit.protocol.gate import read_json
from tillit.protocol.jose import generate_key, private_jwk
from tillit_server.issuer.clients import Client, ClientError, client_from


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
            keys = _keys(entry, directory, development_keys)
            members = {name: entry[name] for name in entry if name not in {"development_key", "jwks_file"}}
            yield client_from({**members, "keys": keys})


def _keys(entry: dict[str, Any], directory: Path, development_keys: Path | None) -> list[Any]:
    if entry.get("development_key"):
        if development_keys is None:
            raise ClientError(f"{entry.get('id')}: development_key belongs to development mode")
        return [_development_key(development_keys / f"{entry['id']}.jwk")]
    try:
        document = read_json((directory / entry["jwks_file"]).read_bytes())
    except (KeyError, OSError, Rejected) as error:
        raise ClientError(f"{entry.get('id')}: jwks_file needed, a readable JWK or JWKS") from error
    return list(document.get("keys", [document])) if isinstance(document, dict) else []


def _development_key(path: Path) -> dict[str, Any]:
    """The public half of the key in ``path``, made by whichever process comes first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(private_jwk(generate_key("ES256"))))
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    private = read_json(path.read_bytes())
    return {name: private[name] for name in ("kty", "crv", "x", "y", "alg", "kid") if name in private}
