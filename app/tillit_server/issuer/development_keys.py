"""Keys that development mode makes at run time, so that none lies in the repository."""

import os
from pathlib import Path

import orjson

from tillit.protocol.gate import read_json
from tillit.protocol.jose import SigningKey, generate_key, load_private_jwk, private_jwk


def development_key(path: Path) -> SigningKey:
    """The ES256 key in ``path`` (a JWK of mode 0600), made by whichever process comes first."""
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
    return load_private_jwk(read_json(path.read_bytes()))
