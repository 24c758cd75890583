"""What the test provider decides: requests pushed, persons chosen, codes redeemed."""

import ipaddress
import secrets
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tillit.attestation.identifiers import Kind, person_number_kind
from tillit.protocol.authorization_request import AuthorizationRequest, read_authorization_request
from tillit.protocol.authorization_response import redirect_location, response_parameters
from tillit.protocol.client_assertion import check_assertion, read_assertion
from tillit.protocol.errors import OAuthError, invalid_client, invalid_grant, invalid_request
from tillit.protocol.id_token import make_id_token
from tillit.protocol.pkce import check_verifier
from tillit_server.issuer.development_keys import development_key
from tillit_server.issuer.login.idps import Idp, IdpError
from tillit_server.storage.ports import Claim, Conflict, Settlement, Store

NAME: Final = "test"
PATH: Final = "/test-provider"
CLIENT_ID: Final = "tillit"
LEVELS: Final[Mapping[str, str]] = {"level3": "3", "level4": "4"}

PUSHED: Final = "test_request"
CODE: Final = "test_code"
ASSERTION: Final = "test_assertion"
_REQUEST_SECONDS: Final = 3600
_CODE_SECONDS: Final = 60
_TOKEN_SECONDS: Final = 60
_URN: Final = "urn:ietf:params:oauth:request_uri:"


@dataclass(frozen=True, slots=True)
class Practitioner:
    """A made-up person of the development registers."""

    number: str
    hpr_number: str
    name: str
    authorizations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Login:
    """Who somebody chose to be. ``level``: one of ``LEVELS``."""

    number: str
    name: str
    level: str


def idp_of_test_provider(issuer: str, keys: Path) -> Idp:
    """The test provider as an upstream provider of ours; our key there is made in the directory ``keys``."""
    return Idp(
        name=NAME,
        title="Testinnlogging / Test login",
        issuer=issuer + PATH,
        client_id=CLIENT_ID,
        key=development_key(keys / f"{NAME}.jwk"),
        levels=LEVELS,
    )


def read_practitioners(registers: Path) -> tuple[Practitioner, ...]:
    """The persons of the development register of health personnel."""
    document = tomllib.loads((registers / "hpr.toml").read_text(encoding="utf-8"))
    return tuple(
        Practitioner(entry["id"], entry["hpr_number"], entry["name"], tuple(entry["authorizations"]))
        for entry in document["person"]
    )


class DevelopmentProvider:
    """The provider under ``issuer``, which is ours with ``PATH``. Raises ``IdpError``."""

    def __init__(
        self,
        idp: Idp,
        *,
        keys: Path,
        callback: str,
        practitioners: tuple[Practitioner, ...],
        store: Store,
        clock: Callable[[], float],
    ) -> None:
        host = urlsplit(idp.issuer).hostname or ""
        if host != "localhost" and not _is_loopback(host):
            raise IdpError("the test provider belongs to a loopback address")
        self.issuer = idp.issuer
        self.practitioners = practitioners
        self._client_key = idp.key.public
        self._key = development_key(keys / "test-provider.jwk")
        self._callback = callback
        self._store = store
        self._clock = clock

    def metadata(self) -> dict[str, Any]:
        """OpenID Connect Discovery §3."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "pushed_authorization_request_endpoint": f"{self.issuer}/par",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "require_pushed_authorization_requests": True,
            "authorization_response_iss_parameter_supported": True,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "code_challenge_methods_supported": ["S256"],
            "acr_values_supported": list(LEVELS),
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def jwks(self) -> dict[str, Any]:
        """The key that signs its ID tokens."""
        return {"keys": [dict(self._key.public.jwk)]}

    def push(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Take a pushed request in (RFC 9126 §2). Raises ``OAuthError``."""
        self._authenticate(form)
        request = read_authorization_request({**form, "client_id": CLIENT_ID})
        if request.redirect_uri != self._callback:
            raise invalid_request("redirect_uri is not registered.")
        key = secrets.token_urlsafe(32)
        self._store.tickets.issue(PUSHED, key, request.to_json(), self._clock() + _REQUEST_SECONDS)
        return {"request_uri": _URN + key, "expires_in": _REQUEST_SECONDS}

    def request(self, parameters: Mapping[str, str]) -> AuthorizationRequest:
        """The pushed request that a browser brings. Raises ``OAuthError``."""
        key = parameters.get("request_uri", "").removeprefix(_URN)
        ticket = self._store.tickets.peek(PUSHED, key) if key else None
        if ticket is None or ticket.redeemed or parameters.get("client_id") != CLIENT_ID:
            raise invalid_request("request_uri is not known.")
        return AuthorizationRequest.from_json(ticket.value)

    def login_of(self, form: Mapping[str, str]) -> Login | None:
        """Who the form chooses, or None when that is nobody made up."""
        number, level = form.get("person") or form.get("number", "").replace(" ", ""), form.get("level", "")
        known = {person.number: person.name for person in self.practitioners}
        kind = person_number_kind(number, now=self._clock(), synthetic=True)
        # A number that is good without the synthetic series could be somebody's.
        real = person_number_kind(number, now=self._clock(), synthetic=False)
        if level not in LEVELS or kind not in {Kind.F_NUMBER, Kind.D_NUMBER} or real is not None:
            return None
        return Login(number, known.get(number, "TEST PERSON"), level)

    def log_in(self, request: AuthorizationRequest, login: Login) -> str:
        """The address that carries a code back."""
        code = secrets.token_urlsafe(32)
        value = {
            "nonce": request.nonce,
            "code_challenge": request.code_challenge,
            "number": login.number,
            "name": login.name,
            "level": login.level,
            "auth_time": int(self._clock()),
        }
        self._store.tickets.issue(CODE, code, value, self._clock() + _CODE_SECONDS)
        return self._answer(request, code=code)

    def cancel(self, request: AuthorizationRequest) -> str:
        """The address that says nobody has logged in."""
        return self._answer(request, error=OAuthError("access_denied", "Cancelled by the user."))

    def redeem(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Give the ID token for a code (OpenID Connect Core §3.1.3). Raises ``OAuthError``."""
        self._authenticate(form)
        if form.get("grant_type") != "authorization_code" or form.get("redirect_uri") != self._callback:
            raise invalid_request("not a request for the token of a code.")
        try:
            chosen = self._store.tickets.redeem(CODE, form.get("code", ""))
        except Conflict:
            raise invalid_grant("the code is not good.") from None
        check_verifier(form.get("code_verifier"), chosen["code_challenge"])
        given, _, family = chosen["name"].rpartition(" ")
        id_token = make_id_token(
            self._key,
            issuer=self.issuer,
            subject=chosen["number"],
            client_id=CLIENT_ID,
            now=self._clock(),
            lifetime=_TOKEN_SECONDS,
            nonce=chosen["nonce"],
            auth_time=chosen["auth_time"],
            claims={
                "pid": chosen["number"],
                "acr": chosen["level"],
                "amr": ["test"],
                "name": chosen["name"],
                "given_name": given,
                "family_name": family,
            },
        )
        # RFC 6749 §5.1 wants an access token; this one opens nothing.
        return {
            "access_token": secrets.token_urlsafe(16),
            "token_type": "Bearer",
            "expires_in": 1,
            "id_token": id_token,
        }

    def _authenticate(self, form: Mapping[str, str]) -> None:
        assertion = check_assertion(
            read_assertion(form.get("client_assertion", "")),
            keys=[self._client_key],
            client_id=CLIENT_ID,
            issuer=self.issuer,
            now=self._clock(),
        )
        spent = Claim(ASSERTION, assertion.jti, assertion.expires_at, made=assertion.iat)
        try:
            self._store.settle(Settlement(claims=(spent,)))
        except Conflict as conflict:
            raise invalid_client("the assertion was used before") from conflict

    def _answer(
        self, request: AuthorizationRequest, *, code: str | None = None, error: OAuthError | None = None
    ) -> str:
        parameters = response_parameters(issuer=self.issuer, state=request.state, code=code, error=error)
        return redirect_location(request.redirect_uri, parameters)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
