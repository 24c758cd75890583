"""Line 12 of the acceptance list: clients of the national service renew their keys, and nothing of ours signs for them.

Nothing here proves the new key beforehand: they send the bare public half, with a proof by the old key.
"""

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from support.backstage import SELF_SERVICE, Backstage
from support.ehr import Answer
from support.foreign_clients import CSharpShaped, ForeignClient, ForeignKey, JavaShaped, registered
from support.self_service import PATH, PROBLEM
from support.service import http

pytestmark = pytest.mark.xdist_group("journeys")

PRINTED = ("kty", "e", "use", "kid", "alg", "n")


@cache
def material() -> rsa.RSAPrivateKey:
    """RSA of 4,096 bits, which takes seconds to make; here every client has the same."""
    return rsa.generate_private_key(public_exponent=65537, key_size=4096)


def new_key() -> ForeignKey:
    """What the libraries make: RSA of 4,096 bits for PS256, named by 32 hex digits."""
    key = ForeignKey("PS256", kid=secrets.token_hex(16))
    key.private = material()
    public = key.algorithm.to_jwk(key.private.public_key(), as_dict=True)
    key.public = {name: public[name] for name in key.bare}
    return key


def printed(key: ForeignKey) -> dict[str, str]:
    """The public JWK, its members in the order in which the libraries print them."""
    members = {**key.public, "use": "sig", "kid": str(key.kid), "alg": key.alg}
    return {name: members[name] for name in PRINTED}


def called(client: ForeignClient, token: str, method: str, body: bytes | None = None) -> Answer:
    """A request to self-service as the libraries make it."""
    url = client.metadata["issuer"] + PATH
    ath = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
    claims = {"jti": secrets.token_hex(16), "htm": method, "htu": url, "iat": int(time.time()), "ath": ath}
    proof = client.key.sign(claims, {"typ": "dpop+jwt", "jwk": client.key.public})
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof, "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json; charset=utf-8"
    return Answer(*http(method, url, headers=headers, body=body))


def token_of(client: Any) -> str:
    """A token for self-service, by the client's own dance."""
    found = client.token(SELF_SERVICE)
    answer = found[0] if isinstance(found, tuple) else found
    assert answer.status == 200, answer.body
    return str(answer.json["access_token"])


BODIES: dict[str, tuple[type[ForeignClient], Callable[[dict[str, str]], bytes]]] = {
    "C#, an object": (CSharpShaped, lambda jwk: json.dumps(jwk).encode()),
    "Java, an object": (JavaShaped, lambda jwk: json.dumps(jwk, separators=(",", ":")).encode()),
    "the samples, a text": (CSharpShaped, lambda jwk: json.dumps(json.dumps(jwk)).encode()),
}


@pytest.mark.parametrize("name", BODIES)
def test_12_both_keys_are_good_after_a_renewal_and_both_are_listed(name: str, backstage: Backstage):
    """The new key gets a token at once, the old one still does, and the list has both with what is known of them."""
    shape, written = BODIES[name]
    client = registered(shape, backstage)
    token, old, new = token_of(client), client.key, new_key()
    answer = called(client, token, "POST", written(printed(new)))
    assert answer.status == 200, answer.body
    assert datetime.fromisoformat(answer.json["expiration"]).utcoffset() is not None
    listed = called(client, token, "GET").json
    assert [(key["jwkThumbprint"], key["origin"]) for key in listed] == [
        (old.thumbprint, "Gui"),
        (new.thumbprint, "Api"),
    ]
    assert (listed[1]["kid"], listed[1]["expiration"]) == (new.kid, answer.json["expiration"])
    for key in (new, old, new):
        client.key, client.alg = key, key.alg
        assert token_of(client)


def test_12_a_refusal_is_an_object_that_the_libraries_can_read(backstage: Backstage):
    """A kid in use is answered by a problem document with an integer for its status, and a stranger's token too."""
    client = registered(CSharpShaped, backstage)
    token, new = token_of(client), new_key()
    taken = printed(new) | {"kid": str(client.key.kid)}
    for answer, status in (
        (called(client, token, "POST", json.dumps(taken).encode()), 409),
        (called(client, token + "x", "POST", json.dumps(printed(new)).encode()), 401),
    ):
        assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM)
        assert type(answer.json["status"]) is int
        assert all(type(answer.json[name]) is str for name in ("type", "title", "detail", "instance"))
