"""K7: the key set of running workers holds nothing private, and a signature that came out wrong never leaves."""

import io
from collections.abc import Iterator
from urllib.parse import urlencode

import orjson
import pytest

from support.backstage import SELF_SERVICE, Backstage, eventually
from support.service import Service, http_json
from support.wire import FORM
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import load_public_jwks, verify
from tillit_server.front_door import public_app
from tillit_server.signing import signer

MEMBERS = {"EC": {"crv", "x", "y"}, "RSA": {"n", "e"}, "OKP": {"crv", "x"}}
JWKS = "/.well-known/openid-configuration/jwks"


def test_k7_every_worker_publishes_public_members_only(service: Service):
    """Whoever answers: distinct ids, use and algorithm of each key, and no member that could be private."""
    for _ in range(8):  # a new connection each time, so both workers answer
        status, _, document = http_json("GET", service.issuer + JWKS)
        assert status == 200
        keys = document["keys"]
        assert set(document) == {"keys"}
        assert len({key["kid"] for key in keys}) == len(keys) >= 2
        for key in keys:
            assert key.keys() == {"kty", "kid", "use", "alg", *MEMBERS[key["kty"]]}
            assert key["use"] == "sig"


def test_k7_every_token_verifies_with_the_published_set(service: Service, backstage: Backstage):
    """The key of a token is in the set that is published at that moment, and verifies it."""
    ehr = backstage.client()
    token = ehr.token().json["access_token"]
    keys = load_public_jwks(http_json("GET", service.issuer + JWKS)[2], algorithms=("ES256", "RS256"))
    assert verify(read_jws(token), keys, algorithms=("ES256",)).kid == read_jws(token).header["kid"]


@pytest.fixture
def faulty_signer(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hand that signs slips: one bit of every signature is turned. Gives what it made."""
    real, made = signer.sign, []

    def slip(*arguments: object, **named: object) -> str:
        token = real(*arguments, **named)
        head, _, signature = token.rpartition(".")
        made.append(f"{head}.{'B' if signature[0] != 'B' else 'C'}{signature[1:]}")
        return str(made[-1])

    monkeypatch.setattr(signer, "sign", slip)
    yield made
    assert made


def test_k7_a_signature_that_is_wrong_is_never_sent(backstage: Backstage, faulty_signer: list[str]):
    """The whole chain from the form to the answer, with a faulty hand: 500, an id, an alarm, and nothing spent."""
    ehr = backstage.client()
    assertion = ehr.assertion()
    body = urlencode(ehr.form(assertion, scope=SELF_SERVICE)).encode("ascii")
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/connect/token",
        "HTTP_HOST": "a",
        "CONTENT_TYPE": FORM,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_DPOP": ehr.proof(),
        "wsgi.input": io.BytesIO(body),
    }
    started: list[str] = []
    app = public_app(backstage.installation)
    answer = b"".join(app(environ, lambda status, _headers: started.append(status)))
    assert started[0].startswith("500 ")
    assert orjson.loads(answer).keys() == {"error", "error_description", "error_id"}
    assert faulty_signer[0].encode() not in answer
    kid = read_jws(faulty_signer[0]).header["kid"]
    assert eventually(lambda: backstage.entries("signing.signature.rejected", kid=kid))
    assert not backstage.entries("issuer.token.issued", client_id=ehr.client_id)
    jti = read_jws(assertion, max_bytes=24_576).claims["jti"]
    assert not backstage.services.store.seen("assertion", f"{ehr.client_id} {jti}")
