"""An EHR in tests: makes good requests, and lets a test break exactly one thing in them."""

import copy
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from support.service import PHR, Service, http
from tillit.protocol.jose import SigningKey, generate_key, sign

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FNR, DNR = "urn:oid:2.16.578.1.12.4.1.4.1", "urn:oid:2.16.578.1.12.4.1.4.2"
ORGNR, RESH = "urn:oid:2.16.578.1.12.4.1.4.101", "urn:oid:2.16.578.1.12.4.1.4.102"
CARE_RELATION = "urn:AuditEventHL7Norway/CodeSystem/carerelation"

# The anaesthetist of the examples, with a named practitioner, as this grant needs.
ATTESTATION: dict[str, Any] = {
    "type": "nhn:tillitsrammeverk:parameters",
    "practitioner": {
        "identifier": {"id": "14857527039", "system": FNR},
        "authorization": {"code": "LE", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"},
        "legal_entity": {"id": "310000019", "system": ORGNR},
        "point_of_care": {"id": "311540025", "system": ORGNR},
        "department": {"id": "4299901", "system": RESH},
    },
    "care_relationship": {
        "healthcare_service": {"code": "210", "system": "urn:oid:2.16.578.1.12.4.1.1.8451"},
        "purpose_of_use": {"code": "TREAT", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
        "purpose_of_use_details": {"code": "POLBESOK", "system": CARE_RELATION},
        "decision_ref": {"id": "6513270e-269e-4d37-b2a7-4de452e6b438", "user_selected": False},
    },
    "patients": [
        {
            "identifier": {"id": "05825031016", "system": FNR},
            "point_of_care": {"id": "311540025", "system": ORGNR},
            "department": {"id": "4299977", "system": RESH},
        }
    ],
}


def attestation(**changes: Any) -> dict[str, Any]:
    """The good attestation with members replaced; a dotted path as key (``practitioner__legal_entity__id``)."""
    changed = copy.deepcopy(ATTESTATION)
    for path, value in changes.items():
        *parents, last = path.split("__")
        node: Any = changed
        for step in parents:
            node = node[int(step)] if isinstance(node, list) else node[step]
        if value is ...:
            del node[last]
        else:
            node[last] = value
    return changed


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def error(self) -> str | None:
        """The OAuth error code, if there is one."""
        return self.json.get("error")

    @property
    def description(self) -> str:
        """The error description."""
        return str(self.json.get("error_description"))


class Ehr:
    """One registered client of a running service."""

    def __init__(
        self, service: Service, client_id: str, key: SigningKey, dpop_key: SigningKey | None = None
    ) -> None:
        self.service = service
        self.client_id = client_id
        self.key = key
        self.dpop_key = dpop_key or generate_key("ES256")
        self.endpoint = service.issuer + "/connect/token"
        self._nonce: str | None = None

    def assertion(
        self,
        *,
        details: Any = None,
        header: Mapping[str, Any] | None = None,
        key: SigningKey | None = None,
        **claims: Any,
    ) -> str:
        """A good client assertion; keyword arguments replace claims, ``...`` removes one."""
        now = int(self.service.now())
        payload: dict[str, Any] = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.service.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + 30,
            "jti": secrets.token_urlsafe(16),
        }
        if details is not None:
            payload["assertion_details"] = details
        payload |= claims
        payload = {name: value for name, value in payload.items() if value is not ...}
        return sign({"typ": "client-authentication+jwt", **(header or {})}, payload, key or self.key)

    def proof(
        self, *, header: Mapping[str, Any] | None = None, key: SigningKey | None = None, **claims: Any
    ) -> str:
        """A good DPoP proof for the token endpoint, with a nonce; ``nonce=...`` leaves it out."""
        key = key or self.dpop_key
        payload: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": "POST",
            "htu": self.endpoint,
            "iat": int(self.service.now()),
            "nonce": ... if "nonce" in claims else self.nonce(),
        }
        payload |= claims
        payload = {name: value for name, value in payload.items() if value is not ...}
        return sign({"typ": "dpop+jwt", "jwk": dict(key.public.jwk), **(header or {})}, payload, key)

    def nonce(self) -> str:
        """A nonce of the service, asked for anew each time: one challenge is cheap."""
        answer = self.send(self.form(self.assertion()), self.proof(nonce=...))
        assert answer.error == "use_dpop_nonce", answer.body
        return str(answer.headers["DPoP-Nonce"])

    def credentials(self, assertion: str) -> dict[str, str]:
        """The parameters that say who asks."""
        return {
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }

    def form(self, assertion: str | None = None, **fields: Any) -> dict[str, str]:
        """A good form; keyword arguments replace parameters, ``...`` removes one."""
        form: dict[str, Any] = {
            "grant_type": "client_credentials",
            **self.credentials(assertion if assertion is not None else self.assertion(details=ATTESTATION)),
            "scope": PHR,
        }
        form |= fields
        return {name: value for name, value in form.items() if value is not ...}

    def send(
        self,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | bytes,
        proof: str | None,
        *,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
        method: str = "POST",
    ) -> Answer:
        """Send a form as it is, with at most one ``DPoP`` header."""
        body = form if isinstance(form, bytes) else urlencode(form).encode("ascii")
        sent = {"Content-Type": "application/x-www-form-urlencoded"}
        if proof is not None:
            sent["DPoP"] = proof
        status, received, content = http(
            method, url or self.endpoint, headers={**sent, **(headers or {})}, body=body
        )
        return Answer(status, received, content)

    def token(self, details: Any = ATTESTATION, **fields: Any) -> Answer:
        """Ask for a token with ``details`` attested, the whole dance included."""
        return self.send(self.form(self.assertion(details=details), **fields), self.proof())

    def explain(self, details: Any = ATTESTATION, **fields: Any) -> Answer:
        """Have the same request explained."""
        return self.send(
            self.form(self.assertion(details=details), **fields),
            self.proof(),
            url=self.service.issuer + "/explain",
        )
