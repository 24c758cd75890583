"""The places where a running service takes a token, and what a refusal must look like at each."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from support.backstage import CALLBACK, SELF_SERVICE
from support.ehr import ATTESTATION, Answer, Ehr
from support.service import PHR
from support.tokens import changed, compact
from tillit.protocol.jose import SigningKey

ASSERTION, PROOF, CARRIER = "client assertion", "DPoP proof", "attestation carrier"
REQUEST = "request object"
INTAKES = (ASSERTION, PROOF, CARRIER, REQUEST)
"""The carrier is a client assertion too, but one on whose inside an access token will rest."""

AT_PAR, AT_INTROSPECTION, AT_REVOCATION = (
    f"{ASSERTION} at {place}" for place in ("PAR", "introspection", "revocation")
)
AUTHENTICATING = (ASSERTION, AT_PAR, AT_INTROSPECTION, AT_REVOCATION)
"""Every endpoint at which a client authenticates; all of them take the same assertions."""

_PATHS = {
    AT_PAR: "/connect/par",
    REQUEST: "/connect/par",
    AT_INTROSPECTION: "/connect/introspect",
    AT_REVOCATION: "/connect/revocation",
}
# A good authorization request, and a token that nobody has issued.
PARAMETERS = {
    "response_type": "code",
    "redirect_uri": CALLBACK,
    "scope": SELF_SERVICE,
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}
_TOKEN = {"token": "nobody-has-issued-this"}
_FIELDS: dict[str, dict[str, str]] = {AT_PAR: PARAMETERS, AT_INTROSPECTION: _TOKEN, AT_REVOCATION: _TOKEN}

INVALID_CLIENT = b'{"error":"invalid_client","error_description":"Client authentication failed."}'
Form = Mapping[str, str] | Sequence[tuple[str, str]] | bytes
_DESCRIPTION = frozenset(chr(code) for code in range(0x20, 0x7F)) - set('"\\')


def header(intake: str, ehr: Ehr, key: SigningKey | None = None, **changes: Any) -> dict[str, Any]:
    """The header of a good token for an intake, with changes; ``...`` removes a member."""
    key = key or (ehr.dpop_key if intake == PROOF else ehr.key)
    if intake == PROOF:
        return changed({"typ": "dpop+jwt", "alg": key.alg, "jwk": key.public.bare_jwk}, changes)
    if intake == REQUEST:
        return changed({"typ": "oauth-authz-req+jwt", "alg": key.alg, "kid": key.kid}, changes)
    return changed({"typ": "client-authentication+jwt", "alg": key.alg, "kid": key.kid}, changes)


def claims(intake: str, ehr: Ehr, **changes: Any) -> dict[str, Any]:
    """The claims of a good token for an intake, with changes; ``...`` removes a claim."""
    now, jti = int(ehr.service.now()), secrets.token_urlsafe(16)
    if intake == PROOF:
        good: dict[str, Any] = {
            "jti": jti,
            "htm": "POST",
            "htu": ehr.endpoint,
            "iat": now,
            "nonce": ehr.nonce(),
        }
        return changed(good, changes)
    good = {"iss": ehr.client_id, "sub": ehr.client_id, "aud": ehr.service.issuer, "jti": jti}
    good |= {"iat": now, "nbf": now, "exp": now + 30}
    if intake == REQUEST:
        good |= {"client_id": ehr.client_id, **PARAMETERS}
    if intake == CARRIER:
        good["assertion_details"] = ATTESTATION
    return changed(good, changes)


def good(intake: str, ehr: Ehr) -> str:
    """A good token for an intake, made octet by octet."""
    return compact(header(intake, ehr), claims(intake, ehr), key_of(intake, ehr))


def key_of(intake: str, ehr: Ehr) -> SigningKey:
    """The key whose signature an intake expects."""
    return ehr.dpop_key if intake == PROOF else ehr.key


def present(ehr: Ehr, intake: str, token: str) -> Answer:
    """Send a request in which everything but the given token is good."""
    if intake == PROOF:
        form = ehr.form(ehr.assertion(), scope=SELF_SERVICE)
        return ehr.send(form, token)
    if intake in _PATHS:
        return submit(ehr, intake, fields(intake, ehr, token))
    return _proven(ehr, ehr.form(token, scope=PHR if intake == CARRIER else SELF_SERVICE))


def fields(intake: str, ehr: Ehr, token: str) -> dict[str, str]:
    """The form of a request that is good but for the given token."""
    if intake == REQUEST:
        return {**ehr.credentials(ehr.assertion()), "request": token}
    if intake in _FIELDS:
        return {**ehr.credentials(token), **_FIELDS[intake]}
    return ehr.form(token, scope=SELF_SERVICE)


def address(intake: str, ehr: Ehr) -> str:
    """The endpoint that takes it."""
    return ehr.service.issuer + _PATHS[intake] if intake in _PATHS else ehr.endpoint


def submit(ehr: Ehr, intake: str, form: Form, *, query: str = "", **more: Any) -> Answer:
    """Send a form to the endpoint that an intake belongs to, with a good proof where one is needed."""
    url = address(intake, ehr) + query
    return ehr.send(form, None, url=url, **more) if intake in _PATHS else _proven(ehr, form, url=url, **more)


def accepted(answer: Answer) -> bool:
    """Whether the request was taken."""
    return answer.status in {200, 201}


def proper_refusal(intake: str, answer: Answer) -> str | None:
    """None for the refusal that is due at an intake, else what is wrong with the answer."""
    if intake == PROOF:
        due = answer.status == 400 and answer.error == "invalid_dpop_proof" and well_formed(answer)
    elif intake == REQUEST:
        due = answer.status == 400 and answer.error == "invalid_request_object" and well_formed(answer)
    else:
        due = answer.status == 401 and answer.body == INVALID_CLIENT and well_formed(answer)
    return None if due else f"{answer.status} {answer.body[:200]!r}"


def refuses_all(ehr: Ehr, intake: str, tokens: dict[Any, str]) -> dict[Any, str]:
    """What was not refused as it must be: empty when all is well. A good token is still accepted."""
    wrong = {
        name: fault
        for name, token in tokens.items()
        if (fault := proper_refusal(intake, present(ehr, intake, token)))
    }
    answer = present(ehr, intake, good(intake, ehr))
    return wrong if accepted(answer) else {**wrong, "a good token": f"{answer.status} {answer.body!r}"}


def well_formed(answer: Answer) -> bool:
    """Whether an error answer is what RFC 6749 §5.2 describes, never cached and with an error id."""
    return (
        set(answer.json) <= {"error", "error_description", "error_id"}
        and set(answer.description) <= _DESCRIPTION
        and answer.headers["Cache-Control"] == "no-store"
        and answer.headers["Content-Type"] == "application/json"
        and len(answer.headers["Error-Id"] or "") == 16
        and ("DPoP-Nonce" in answer.headers) == (answer.error == "use_dpop_nonce")
    )


def duplicated(member: str, first: Any, document: dict[str, Any]) -> bytes:
    """The JSON of a document whose first member is followed by a second of the same name."""
    return f"{{{json.dumps(member)}:{json.dumps(first)},{json.dumps(document)[1:]}".encode()


def _proven(ehr: Ehr, form: Form, **more: Any) -> Answer:
    """Send a form with a good proof, once more when another nonce is asked for, as every client does.

    Where a test lets hours pass in an instant, one worker may have a new secret for nonces before the other.
    """
    answer = ehr.send(form, ehr.proof(), **more)
    deadline = time.monotonic() + 5
    while answer.status == 400 and answer.error == "use_dpop_nonce" and time.monotonic() < deadline:
        answer = ehr.send(form, ehr.proof(nonce=answer.headers["DPoP-Nonce"]), **more)
    return answer
