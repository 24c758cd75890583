"""What must hold for any input at each of the places where strangers' octets come in.

A check gives True for an accepted input and False for a refused one. It raises ``AssertionError`` when
something else than a proper refusal comes out, when an oracle would have refused, or when it took too long.
"""

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson

from support import oracles
from support.ehr import ATTESTATION
from support.tokens import NOW, TOKEN_ENDPOINT, b64, compact, key_for, proof_claims
from tillit.attestation.circumstances import Circumstances, Party
from tillit.attestation.rulebook import RULES, examine
from tillit.attestation.wire import ATTESTATION_TYPE, from_claim, parse_attestation, to_claim
from tillit.protocol.dpop import check_proof
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import MAX_ASSERTION_BYTES, read_json, read_jws
from tillit.protocol.jose import sign_bytes
from tillit.protocol.nonces import Nonces
from tillit_server.config import SHIPPED_CONFIG
from tillit_server.issuer.registers import load_registers
from tillit_server.web.translate import form_request

MAX_SECONDS = 0.05
DEPTH = 32
KEY = key_for("ES256")
NONCES = Nonces(lambda: [b"n" * 32])
PROOF_HEADER = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.public.bare_jwk}
VECTORS = Path(__file__).parents[1] / "vectors" / "attestation"
CIRCUMSTANCES = Circumstances(
    now=NOW,
    carrier_iat=NOW,
    registers=load_registers(SHIPPED_CONFIG / "registers"),
    synthetic_identifiers=True,
    established_by="legal_entity",
    may_attest_without_login=True,
)
_RULE_IDS = {row.id for row in RULES} | {"ATT-TYPE", "ATT-SHAPE", "ATT-REGISTER"}
_DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
_PERSON = re.compile(r"(?<!\d)\d{11}(?!\d)")
_STATUS_OF_FORM = {400, 413, 415}


def json_text(data: bytes) -> bool:
    """``read_json`` gives the value that plain code gives, or refuses."""
    value = _judged(lambda: read_json(data, max_depth=DEPTH), Rejected)
    if isinstance(value, Rejected):
        return _proper(value)
    expected = oracles.json_value(data, max_depth=DEPTH)
    assert (value, repr(value)) == (expected, repr(expected)), "JSON read otherwise"
    return True


def jws(token: str | bytes, *, allow_jwk: bool = False) -> bool:
    """``read_jws`` reads what PyJWT and joserfc read, or refuses."""
    found = _judged(lambda: read_jws(token, max_bytes=MAX_ASSERTION_BYTES, allow_jwk=allow_jwk), Rejected)
    if isinstance(found, Rejected):
        return _proper(found)
    text = token if isinstance(token, str) else token.decode("ascii")
    header, claims = oracles.compact_jws(text)
    assert (dict(found.header), found.claims) == (header, claims), "JWS read otherwise"
    assert found.signing_input == text.rpartition(".")[0].encode()
    assert b64(found.signature) == text.rpartition(".")[2]
    assert allow_jwk or "jwk" not in header
    return True


def proof(headers: Sequence[str], *, with_nonce: bool = False) -> bool:
    """``check_proof`` accepts only what other libraries verify, for this address, method and minute."""
    nonces = NONCES if with_nonce else None
    found = _judged(
        lambda: check_proof(headers, method="POST", url=TOKEN_ENDPOINT, now=NOW, nonces=nonces), OAuthError
    )
    if isinstance(found, OAuthError):
        assert found.code == "invalid_dpop_proof" or (with_nonce and found.code == "use_dpop_nonce")
        return _proper(found)
    (token,) = headers
    header, claims = oracles.compact_jws(token)
    jwk = header["jwk"]
    assert header["typ"] == "dpop+jwt"
    assert not {"d", "p", "q", "dp", "dq", "qi", "k", "oth"} & set(jwk)
    assert type(claims["iat"]) is int
    assert NOW - 60 <= claims["iat"] <= NOW + 10
    assert claims["htm"] == "POST"
    assert isinstance(claims["jti"], str)
    assert claims["jti"]
    oracles.same_address(claims["htu"], TOKEN_ENDPOINT)
    oracles.signature_verifies(token, jwk, header["alg"])
    assert not with_nonce or NONCES.valid(claims["nonce"], NOW)
    assert (found.jti, found.iat, found.alg) == (claims["jti"], claims["iat"], header["alg"])
    return True


def form(environ: Mapping[str, Any]) -> bool:
    """``form_request`` reads a form as the URL standard does, or answers with a proper error."""
    body = environ["wsgi.input"].getvalue()
    found = _judged(
        lambda: form_request({**environ, "wsgi.input": BytesIO(body)}, TOKEN_ENDPOINT), OAuthError
    )
    if isinstance(found, OAuthError):
        assert found.code == "invalid_request"
        assert found.status in _STATUS_OF_FORM
        return _proper(found)
    assert len(body) >= int(environ["CONTENT_LENGTH"]) <= 65_536
    fields, resources = oracles.form_fields(body[: int(environ["CONTENT_LENGTH"])])
    assert (dict(found.form), list(found.resources)) == (fields, resources), "form read otherwise"
    assert all(text.isprintable() for text in (*fields, *fields.values(), *resources))
    assert found.endpoint == TOKEN_ENDPOINT
    assert found.authorization == environ.get("HTTP_AUTHORIZATION")
    assert bool(found.dpop) == ("HTTP_DPOP" in environ)
    assert not environ.get("QUERY_STRING")
    assert "HTTP_TRANSFER_ENCODING" not in environ
    return True


def attestation(value: Any) -> bool:
    """Reading and judging ends with an attestation that plain code accepts too, or with findings."""
    found = _judged(
        lambda: examine(value, carrier_iat=NOW, party=Party.TRUST_ANCHOR, circumstances=CIRCUMSTANCES)
    )
    for finding in found.violations:
        assert finding.rule in _RULE_IDS, finding.rule
        error = OAuthError(finding.code, finding.description, pointer=finding.pointer)
        _proper(error)
        shown = f"{finding.description} {finding.pointer} {finding.expected} {finding.found}"
        assert not _PERSON.search(shown), "a person's number in a finding"
    for note in (*found.notes, *(remark.text for remark in found.remarks)):
        assert not _PERSON.search(note), "a person's number in a note"
    assert (found.attestation is None) == bool(found.violations)
    if found.attestation is None:
        return False
    claim = to_claim(found.attestation)
    oracles.attestation(claim, now=NOW)
    assert from_claim(claim) == found.attestation
    again = parse_attestation({"type": ATTESTATION_TYPE, **claim}, carrier_iat=NOW)
    assert again == (found.attestation, (), ())
    return True


def unsigned(header: bytes, payload: bytes) -> str:
    """A compact JWS of octets as they are, with something in place of a signature."""
    return f"{b64(header)}.{b64(payload)}.AAAA"


def signed(header: bytes, payload: bytes) -> str:
    """A compact JWS of octets as they are, signed by the test key."""
    text = f"{b64(header)}.{b64(payload)}"
    return f"{text}.{b64(sign_bytes(text.encode(), KEY))}"


def good_proof(**changes: Any) -> str:
    """A proof that is accepted, with a nonce; changes are to its claims."""
    return compact(PROOF_HEADER, proof_claims(**{"nonce": NONCES.issue(NOW), **changes}), KEY)


def good_form() -> bytes:
    """The body of an ordinary token request."""
    return (
        b"grant_type=client_credentials&client_id=ehr&scope=nhn%3Aphr%2Fread+openid&resource=nhn%3Aphr&resource=b"
        b"&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=e.y.J"
    )


def good_environ(body: bytes, **changes: Any) -> dict[str, Any]:
    """The environment of an ordinary token request with a body; a change to ``...`` removes a variable."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_DPOP": "a.b.c",
        "HTTP_HOST": "as.example.no",
        "QUERY_STRING": "",
        "wsgi.input": BytesIO(body),
    } | changes
    return {name: value for name, value in environ.items() if value is not ...}


def attestations() -> list[Any]:
    """Attestations of every kind to start from: an ordinary one, and the input of every vector there is."""
    found: list[Any] = [ATTESTATION, [ATTESTATION], json.dumps(ATTESTATION)]
    for path in sorted(VECTORS.glob("ATT-*.json")):
        found += [case["input"] for case in json.loads(path.read_text("utf-8"))["cases"] if "input" in case]
    return found


def _judged(call: Callable[[], Any], *refusals: type[Exception]) -> Any:
    """The value or the refusal; anything else that is raised is a defect, and so is more than 50 ms of work."""

    def once() -> tuple[Any, float]:
        begun = time.thread_time()
        try:
            result = call()
        except refusals as refusal:
            result = refusal
        return result, time.thread_time() - begun

    result, spent = once()
    if spent > MAX_SECONDS:
        # The collector may have come by, so an input is slow only if it is slow every time.
        spent = min(spent, once()[1], once()[1])
    assert spent <= MAX_SECONDS, f"{spent:.3f} s"
    return result


def _proper(refusal: Rejected | OAuthError) -> bool:
    """A refusal has words for everybody, and shows nothing that a log or an answer could not hold."""
    if isinstance(refusal, Rejected):
        assert refusal.reason
    else:
        assert _DESCRIPTION.fullmatch(refusal.description)
        orjson.dumps(refusal.body())
    assert refusal.pointer.isprintable()
    assert refusal.found is None or (len(refusal.found) <= 64 and refusal.found.isascii())
    return False
