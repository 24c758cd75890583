"""What is measured: for each path, how its requests are made and how many signatures they cannot do without."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.load import exchange
from benchmarks.requests import ATTESTATION, SCOPE, Sender
from benchmarks.service import BenchService
from tillit.protocol.pkce import challenge_of, make_verifier
from tillit_server.issuer.authorized import Authorized
from tillit_server.issuer.codes import Code, new_code
from tillit_server.issuer.users import User
from tillit_server.storage.ports import Settlement
from tillit_server.wiring import build

TOKEN, PAR, INTROSPECTION = "/connect/token", "/connect/par", "/connect/introspect"
REDIRECT_URI = "http://127.0.0.1/callback"
LOGIN_SCOPE = f"openid offline_access {SCOPE}"
ANAESTHETIST = "14857527039"

Prepare = Callable[[BenchService, int], list[bytes]]


@dataclass(frozen=True, slots=True)
class Path:
    """``verifications`` and ``signatures`` (ES256) are its crypto floor; ``answer`` stands in each good answer."""

    prepare: Prepare
    verifications: int
    signatures: int
    answer: bytes
    status: int = 200


def _client_credentials(service: BenchService, count: int) -> list[bytes]:
    sender = service.sender("dev-ehr")
    form = {"grant_type": "client_credentials", "scope": SCOPE}
    return [sender.request(TOKEN, form, proof=True, details=ATTESTATION) for _ in range(count)]


def _pushed(service: BenchService, count: int) -> list[bytes]:
    sender = service.sender("dev-login")
    form = {
        "response_type": "code",
        "redirect_uri": REDIRECT_URI,
        "scope": LOGIN_SCOPE,
        "state": "s" * 32,
        "nonce": "n" * 32,
        "code_challenge": challenge_of(make_verifier()),
        "code_challenge_method": "S256",
    }
    return [sender.request(PAR, form) for _ in range(count)]


def _redemptions(service: BenchService, count: int) -> list[bytes]:
    """Each with a code of its own, which no login was needed for: they are laid into the store."""
    sender, verifier, now = service.sender("dev-login"), make_verifier(), time.time()
    user = User(pid=ANAESTHETIST, security_level="4", idp="bench", auth_time=int(now), amr=("bench",))
    codes = []
    installation = build(service.settings())
    try:
        for number in range(count):
            authorized = Authorized(
                family=secrets.token_urlsafe(16),
                client_id=sender.client_id,
                user=user,
                sid=f"{number:032X}",
                scopes=tuple(LOGIN_SCOPE.split()),
            )
            code = Code(authorized, REDIRECT_URI, challenge_of(verifier))
            codes.append(new_code(code, now=now, lifetime=60))
        for start in range(0, count, 100):
            issues = tuple(issue for _, issue in codes[start : start + 100])
            installation.services.store.settle(Settlement(issues=issues))
    finally:
        installation.close()
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT_URI, "code_verifier": verifier}
    return [
        sender.request(TOKEN, {**form, "code": text}, proof=True, details=ATTESTATION) for text, _ in codes
    ]


def _tokens(service: BenchService) -> tuple[Sender, dict[str, str]]:
    """A sender and what one code gave it."""
    (request,) = _redemptions(service, 1)
    return service.sender("dev-login"), json.loads(exchange(service.port, request))


def _refreshes(service: BenchService, count: int) -> list[bytes]:
    sender, tokens = _tokens(service)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    return [sender.request(TOKEN, form, proof=True, details=ATTESTATION) for _ in range(count)]


def _introspections(service: BenchService, count: int) -> list[bytes]:
    sender, tokens = _tokens(service)
    form = {"token": tokens["access_token"]}
    return [sender.request(INTROSPECTION, form) for _ in range(count)]


PATHS: Mapping[str, Path] = MappingProxyType(
    {
        # assertion and proof in, access token out
        "token": Path(_client_credentials, 2, 1, b'"access_token":"'),
        # assertion in
        "par": Path(_pushed, 1, 0, b'"request_uri":"', status=201),
        # assertion and proof in, access token and ID token out
        "code": Path(_redemptions, 2, 2, b'"id_token":"'),
        "refresh": Path(_refreshes, 2, 2, b'"id_token":"'),
        # assertion and token in
        "introspection": Path(_introspections, 2, 0, b'"active":true'),
    }
)
