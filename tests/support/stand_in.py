"""Stand-ins for the two ends a document source meets: an issuer that publishes keys, and a client that holds tokens."""

import copy
import json
import secrets
from typing import Any

from tillit.outbound import Request, Response, TransportError
from tillit.protocol.dpop import access_token_hash
from tillit.protocol.jose import SigningKey, generate_key, sign
from tillit.verifier import Access, Refused, Verifier

NOW = 1768465800
ISSUER = "https://issuer.example"
AUDIENCE = "nhn:phr"
SCOPE = "nhn:phr/mhd/read-documentreferences"
URL = "https://source.example/documents"
PRACTITIONER = "14857527039"
PATIENT = "05825031016"
OTHER_PATIENT = "63714815050"
PID = "helseid://claims/identity/pid"
LEVEL = "helseid://claims/identity/security_level"
ESTABLISHED_BY = "practitioner_established_by"
ATTESTATION = "nhn:tillitsrammeverk:parameters"
FNR, ORGNR = "urn:oid:2.16.578.1.12.4.1.4.1", "urn:oid:2.16.578.1.12.4.1.4.101"

# The anaesthetist of the examples, as an access token carries the attestation.
CLAIM: dict[str, Any] = {
    "toa": NOW,
    "practitioner": {
        "identifier": {"id": PRACTITIONER, "name": "KLAR SKOGSTJERNE", "system": FNR},
        "hpr_nr": {"id": "222209991", "system": "urn:oid:2.16.578.1.12.4.1.4.4"},
        "authorization": {"code": "LE", "text": "Lege", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
        "legal_entity": {"id": "310000019", "name": "NORDFJELL UNIVERSITETSSYKEHUS HF", "system": ORGNR},
        "point_of_care": {"id": "311540025", "name": "BYEN - SOMATIKK", "system": ORGNR},
    },
    "care_relationship": {
        "healthcare_service": {"code": "210", "system": "urn:oid:2.16.578.1.12.4.1.1.8451"},
        "purpose_of_use": {
            "code": "TREAT",
            "text": "Treatment",
            "system": "urn:oid:2.16.840.1.113883.1.11.20448",
        },
        "decision_ref": {"id": "6513270e-269e-4d37-b2a7-4de452e6b438", "user_selected": False},
    },
    "patients": [{"identifier": {"id": PATIENT, "system": FNR}}],
}


def claim(**changes: Any) -> dict[str, Any]:
    """The attestation claim with members replaced; dotted path as ``practitioner__identifier``, ``...`` removes."""
    changed = copy.deepcopy(CLAIM)
    for path, value in changes.items():
        *parents, last = path.split("__")
        node: Any = changed
        for step in parents:
            node = node[step]
        if value is ...:
            del node[last]
        else:
            node[last] = value
    return changed


def without_removed(members: dict[str, Any]) -> dict[str, Any]:
    """Leave out the members whose value is ``...``."""
    return {name: value for name, value in members.items() if value is not ...}


class StandInIssuer:
    """Publishes metadata and keys as a `Send`, and counts who asks. `failing` answers every request with that."""

    def __init__(self, *, issuer: str = ISSUER, max_age: int | None = 600) -> None:
        self.issuer = issuer
        self.keys = [generate_key("ES256")]
        self.max_age = max_age
        self.asked: list[str] = []
        self.failing: int | Exception | None = None
        self.metadata: dict[str, Any] = {}
        self.jwks: dict[str, Any] | None = None

    def __call__(self, request: Request) -> Response:
        """Answer as the issuer's web server."""
        self.asked.append(request.url)
        if isinstance(self.failing, Exception):
            raise self.failing
        if self.failing is not None:
            return Response(self.failing)
        headers = (("Cache-Control", f"public, max-age={self.max_age}"),) if self.max_age is not None else ()
        if request.url.endswith("/jwks"):
            document = self.jwks or {"keys": [dict(key.public.jwk) for key in self.keys]}
        elif request.url == f"{self.issuer}/.well-known/openid-configuration":
            document = {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/jwks",
                "token_endpoint": f"{self.issuer}/connect/token",
                **self.metadata,
            }
        else:
            raise TransportError(TransportError.UNREACHABLE)
        return Response(200, headers, json.dumps(document).encode())

    @property
    def key_fetches(self) -> int:
        """How often the key set was asked for."""
        return sum(url.endswith("/jwks") for url in self.asked)

    def token(
        self, jkt: str, *, now: float = NOW, key: SigningKey | None = None, header: Any = None, **claims: Any
    ) -> str:
        """A good login token for the stand-in's API; keyword arguments replace claims, ``...`` removes one."""
        payload: dict[str, Any] = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "k3x9q0v7",
            "client_id": "ehr-nordfjell",
            "scope": [SCOPE],
            "nbf": int(now),
            "iat": int(now),
            "exp": int(now) + 600,
            "jti": secrets.token_hex(16),
            "cnf": {"jkt": jkt},
            PID: PRACTITIONER,
            LEVEL: "4",
            ESTABLISHED_BY: "login",
            ATTESTATION: claim(toa=int(now)),
        }
        payload = without_removed({**payload, **claims})
        return sign({"typ": "at+jwt", **(header or {})}, payload, key or self.keys[0])


class World:
    """One issuer, one holder of a key, one verifier, and a clock that stands still until told otherwise."""

    def __init__(self, **settings: Any) -> None:
        self.now: float = NOW
        self.issuer = StandInIssuer()
        self.dpop_key = generate_key("ES256")
        settings = {"clock": lambda: self.now, "http": self.issuer, **settings}
        self.verifier = Verifier(ISSUER, AUDIENCE, **settings)

    def token(self, **claims: Any) -> str:
        """A good token of this moment, bound to the holder's key."""
        return self.issuer.token(self.dpop_key.public.thumbprint, **{"now": self.now, **claims})

    def proof(self, token: str, *, header: Any = None, key: SigningKey | None = None, **claims: Any) -> str:
        """A good proof of this moment for `URL`; keyword arguments replace claims, ``...`` removes one."""
        key = key or self.dpop_key
        payload = {
            "jti": secrets.token_urlsafe(16),
            "htm": "GET",
            "htu": URL,
            "iat": int(self.now),
            "ath": access_token_hash(token),
        }
        payload = without_removed({**payload, **claims})
        head = without_removed({"typ": "dpop+jwt", "jwk": dict(key.public.bare_jwk), **(header or {})})
        return sign(head, payload, key)

    def verify(
        self,
        token: str | None = None,
        proof: str | None = None,
        *,
        patient: str | None = None,
        method: str = "GET",
        url: str = URL,
    ) -> Access:
        """Present a token and a proof, each a good one unless given."""
        token = self.token() if token is None else token
        proof = self.proof(token) if proof is None else proof
        headers = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
        return self.verifier.verify(method, url, headers, patient)

    def refusal(self, *arguments: Any, **keywords: Any) -> Refused:
        """The refusal of a request that must be refused."""
        try:
            access = self.verify(*arguments, **keywords)
        except Refused as refused:
            return refused
        raise AssertionError(f"not refused: {access}")
