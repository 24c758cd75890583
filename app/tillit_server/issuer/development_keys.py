"""Keys that development mode makes at run time, so that none lies in the repository."""

import os
from pathlib import Path

import orjson

from tillit.protocol.gate import read_json
from tillit.protocol.jose import SigningKey, generate_key, load_private_jwk, private_jwk
from tillit.protocol.key_quality import MIN_RSA_BITS


def development_key(path: Path, alg: str = "ES256") -> SigningKey:
    """The key in ``path`` (a JWK of mode 0600), made for ``alg`` by whichever process comes first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(private_jwk(generate_key(alg, rsa_bits=MIN_RSA_BITS))))
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    return load_private_jwk(read_json(path.read_bytes()))
