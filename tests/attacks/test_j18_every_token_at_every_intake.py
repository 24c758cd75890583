"""J18: each kind of token is good at its own intake, and at no other.

One table of kinds and one of intakes; every pair of them is tried on a running service, and is refused unless
the table says that the kind belongs there. Proofs and assertions of one client, tokens of one login: whoever
holds one of them, holds keys and tokens that fit.
"""

import itertools
import secrets
from collections.abc import Callable, Iterator

import pytest

from support.backstage import SELF_SERVICE, Backstage
from support.ehr import ATTESTATION
from support.granted import introspect, revoke
from support.login import Reception
from support.relying_party import RelyingParty
from support.service import PHR, http, http_json
from support.tokens import compact
from support.visitor import Page, Returned, Visitor
from tillit.protocol.dpop import make_proof
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import read_jws
from tillit.protocol.id_token import check_id_token
from tillit.protocol.introspection import MEDIA_TYPE, check_introspection_jwt
from tillit.protocol.jose import PublicKey, load_public_jwks

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TYPE = "urn:ietf:params:oauth:token-type:access_token"
JWKS = "/.well-known/openid-configuration/jwks"


class World:
    """One client, which is also the API of its tokens, and one login there."""

    def __init__(self, backstage: Backstage) -> None:
        self.reception = Reception(backstage)
        client = self.reception.client(
            grants=["client_credentials", "authorization_code", "refresh_token", EXCHANGE],
            audiences=["nhn:phr"],
        )
        self.party = RelyingParty.of(client)
        self.issuer = self.party.service.issuer
        answer = self.party.redeem(self.code(), details=ATTESTATION)
        assert answer.status == 200, answer.body
        self.tokens = answer.json
        jwks = http_json("GET", self.issuer + JWKS)[2]
        self.keys: tuple[PublicKey, ...] = load_public_jwks(jwks, algorithms=("ES256", "RS256"))

    def code(self) -> str:
        """A new authorization code."""
        request_uri = self.party.request_uri(scope=f"openid profile offline_access {PHR}")
        return str(self.reception.log_in(self.party, request_uri).parameters["code"])

    def introspection_answer(self) -> str:
        """What the introspection endpoint signs about the access token."""
        answer = introspect(self.party, self.tokens["access_token"], accept=MEDIA_TYPE)
        return answer.body.decode()


@pytest.fixture(scope="module")
def world(backstage: Backstage) -> Iterator[World]:
    """One for all pairs; what is good once only is made anew for each."""
    return World(backstage)


def without_typ(world: World, token: str) -> str:
    """A client's own token without its type, which two of our intakes forgive."""
    jws = read_jws(token)
    header = {name: value for name, value in jws.header.items() if name != "typ"}
    return compact(header, dict(jws.claims), world.party.key)


KINDS: dict[str, Callable[[World], str]] = {
    "client assertion": lambda world: world.party.assertion(),
    "client assertion without typ": lambda world: without_typ(world, world.party.assertion()),
    "DPoP proof": lambda world: world.party.proof(),
    "request object": lambda world: world.party.request_object(scope=PHR),
    "request object without typ": lambda world: without_typ(world, world.party.request_object(scope=PHR)),
    "access token": lambda world: world.tokens["access_token"],
    "ID token": lambda world: world.tokens["id_token"],
    "refresh token": lambda world: world.tokens["refresh_token"],
    "authorization code": World.code,
    "introspection answer": World.introspection_answer,
    "pushed request": lambda world: world.party.request_uri(scope=PHR),
}


def as_assertion(world: World, token: str) -> bool:
    form = world.party.form(token, scope=SELF_SERVICE)
    return world.party.send(form, world.party.proof()).status == 200


def as_assertion_at_par(world: World, token: str) -> bool:
    form = world.party.pushed_form(token, scope=PHR)
    return world.party.send(form, None, url=world.party.par).status == 201


def as_proof(world: World, token: str) -> bool:
    form = world.party.form(world.party.assertion(), scope=SELF_SERVICE)
    return world.party.send(form, token).status == 200


def as_request_object(world: World, token: str) -> bool:
    return world.party.send(world.party.signed_form(token), None, url=world.party.par).status == 201


def as_credentials(world: World, token: str) -> bool:
    url, now = f"{world.issuer}/connect/userinfo", world.party.service.now()
    proof = make_proof(world.party.dpop_key, "GET", url, now=now, access_token=token)
    answers = {
        http("GET", url, headers={"Authorization": f"DPoP {token}", "DPoP": proof})[0],
        http("GET", url, headers={"Authorization": f"Bearer {token}"})[0],
    }
    return 200 in answers


def as_asked_token(world: World, token: str) -> bool:
    answer = introspect(world.party, token)
    assert answer.status == 200
    return bool(answer.json["active"])


def as_hint(world: World, token: str) -> bool:
    page = Visitor(world.party.service).open(f"{world.issuer}/connect/endsession?id_token_hint={token}")
    return isinstance(page, Returned) or page.status == 200


def as_request_uri(world: World, token: str) -> bool:
    query = f"client_id={world.party.client_id}&request_uri={token}"
    page = Visitor(world.party.service).open(f"{world.issuer}/connect/authorize?{query}")
    return not (isinstance(page, Page) and page.status == 400)


def as_refresh_token(world: World, token: str) -> bool:
    return world.party.refresh(token, details=ATTESTATION).status == 200


def as_code(world: World, token: str) -> bool:
    return world.party.redeem(token, details=ATTESTATION).status == 200


def as_subject_token(world: World, token: str) -> bool:
    form = world.party.form(
        world.party.assertion(),
        grant_type=EXCHANGE,
        subject_token=token,
        subject_token_type=ACCESS_TYPE,
        scope=SELF_SERVICE,
    )
    return world.party.send(form, world.party.proof()).status == 200


def as_id_token(world: World, token: str) -> bool:
    try:
        check_id_token(
            token,
            keys=world.keys,
            issuer=world.issuer,
            client_id=world.party.client_id,
            now=world.party.service.now(),
            nonce=None,
            algorithms=("ES256", "RS256"),
        )
    except Rejected:
        return False
    return True


def as_introspection_answer(world: World, token: str) -> bool:
    try:
        check_introspection_jwt(
            token,
            keys=world.keys,
            issuer=world.issuer,
            audience=world.party.client_id,
            now=world.party.service.now(),
        )
    except (Rejected, OAuthError):
        return False
    return True


ASSERTIONS = {"client assertion", "client assertion without typ"}
REQUESTS = {"request object", "request object without typ"}
# how a token is offered, and the kinds that belong there
INTAKES: dict[str, tuple[Callable[[World, str], bool], set[str]]] = {
    "client_assertion": (as_assertion, ASSERTIONS),
    "client_assertion at PAR": (as_assertion_at_par, ASSERTIONS),
    "DPoP": (as_proof, {"DPoP proof"}),
    "request": (as_request_object, REQUESTS),
    "request_uri": (as_request_uri, {"pushed request"}),
    "Authorization": (as_credentials, {"access token"}),
    "token at introspection": (as_asked_token, {"access token", "refresh token"}),
    "id_token_hint": (as_hint, {"ID token"}),
    "refresh_token": (as_refresh_token, {"refresh token"}),
    "code": (as_code, {"authorization code"}),
    "subject_token": (as_subject_token, {"access token"}),
    "an ID token at the client": (as_id_token, {"ID token"}),
    "an introspection answer at the API": (as_introspection_answer, {"introspection answer"}),
}


def test_j18_the_tables_are_whole():
    """Every kind is at home somewhere, and more than the 42 pairs of seven kinds are tried."""
    homes = set().union(*(kinds for _, kinds in INTAKES.values()))
    assert homes == set(KINDS)
    assert sum(kind not in homes for _, homes in INTAKES.values() for kind in KINDS) >= 42


@pytest.mark.parametrize(("intake", "kind"), list(itertools.product(INTAKES, KINDS)))
def test_j18_a_kind_is_good_at_home_and_nowhere_else(intake: str, kind: str, world: World):
    """Off its own intake a token is refused, and at its own it is taken, so that the refusal means something."""
    take, homes = INTAKES[intake]
    assert take(world, KINDS[kind](world)) == (kind in homes)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in {"access token", "refresh token"}])
def test_j18_revocation_touches_nothing_else(kind: str, world: World):
    """What is neither access nor refresh token is answered 200, and every token lives on."""
    assert revoke(world.party, KINDS[kind](world)).status == 200
    for token in (world.tokens["access_token"], world.tokens["refresh_token"]):
        assert as_asked_token(world, token)


def test_j18_secrets_of_the_browser_are_no_tokens(world: World):
    """A random word of the length of our cookies and tickets opens nothing anywhere."""
    word = secrets.token_urlsafe(32)
    assert not any(take(world, word) for take, _ in INTAKES.values())
