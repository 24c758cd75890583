"""T1: a refresh token is for one client, what was granted to it, and where it rotates for one line of use."""

import pytest

from support.backstage import Backstage, SwiftEhr, Timeline, eventually
from support.granted import introspect
from support.redeeming import IDENTITY, WARD, claims_of, client, good, lay, redeem, refresh, refused
from support.service import PHR
from tillit.protocol.jose import generate_key


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in."""
    return client(backstage)


@pytest.fixture(scope="module")
def rotating(backstage: Backstage) -> SwiftEhr:
    """A client whose refresh tokens rotate."""
    return client(backstage, rotate_refresh_tokens=True)


def first(backstage: Backstage, ehr: SwiftEhr, **members: object) -> str:
    """The refresh token of a new login."""
    return str(good(redeem(ehr, lay(backstage, ehr, **members)))["refresh_token"])


def test_t1_without_rotation_a_refresh_token_stays_the_same(backstage: Backstage, ehr: SwiftEhr):
    """It comes back with every answer and can be used any number of times."""
    token = first(backstage, ehr)
    for _ in range(3):
        body = good(refresh(ehr, token))
        assert body["refresh_token"] == token
        assert introspect(ehr, body["access_token"]).json["active"]


def test_t1_with_rotation_an_old_token_works_until_the_new_one_is_used(
    backstage: Backstage, rotating: SwiftEhr
):
    """A retry with the old token gives the same new one, as often as it is needed."""
    old = first(backstage, rotating)
    new = good(refresh(rotating, old))["refresh_token"]
    assert new != old
    assert good(refresh(rotating, old))["refresh_token"] == new
    assert good(refresh(rotating, old))["refresh_token"] == new
    newer = good(refresh(rotating, new))["refresh_token"]
    assert newer not in {old, new}
    assert good(refresh(rotating, new))["refresh_token"] == newer


def test_t1_an_old_token_after_the_new_one_ends_the_login(backstage: Backstage, rotating: SwiftEhr):
    """Two lines of use are two holders: every token of the login is dead, and the audit says why."""
    laid = lay(backstage, rotating)
    old = good(redeem(rotating, laid))["refresh_token"]
    new = good(refresh(rotating, old))["refresh_token"]
    newer = good(refresh(rotating, new))
    refused(refresh(rotating, old))
    for token in (old, new, newer["refresh_token"]):
        refused(refresh(rotating, token))
    assert introspect(rotating, newer["access_token"]).json == {"active": False}
    (entry,) = backstage.entries("issuer.code.reused", family=laid.authorized.family)
    assert (entry.public["kind"], entry.public["alarm"]) == ("refresh_token", True)


def test_t1_another_client_cannot_use_it(backstage: Backstage, ehr: SwiftEhr):
    """In the hands of another client it is as unknown as any text, and stays good for its own."""
    token = first(backstage, ehr)
    other = client(backstage)
    assert refused(refresh(other, token)) == refused(refresh(other, "unknown.0.token"))
    good(refresh(ehr, token))


def test_t1_another_proof_key_is_taken_and_written_down(backstage: Backstage, ehr: SwiftEhr):
    """The token is bound to the client: the new access token is bound to the new key (1b no. 3)."""
    laid = lay(backstage, ehr)
    token = good(redeem(ehr, laid))["refresh_token"]
    key = generate_key("ES256")
    body = good(refresh(ehr, token, key=key))
    assert claims_of(body["access_token"])["cnf"] == {"jkt": key.public.thumbprint}
    assert body["refresh_token"] == token
    good(refresh(ehr, token, key=key))
    (entry,) = backstage.entries("issuer.proof.key_changed", family=laid.authorized.family)
    assert entry.public["old_jkt"] == ehr.dpop_key.public.thumbprint
    assert entry.public["new_jkt"] == key.public.thumbprint


def test_t1_a_wider_scope_is_refused(backstage: Backstage, ehr: SwiftEhr):
    """What the login was not asked for, no refresh adds; less is given, and then again all."""
    token = first(backstage, ehr)
    refused(refresh(ehr, token, scope=f"{WARD} {PHR}"), "invalid_scope")
    refused(refresh(ehr, token, scope="example:ward/patient"), "invalid_scope")
    assert good(refresh(ehr, token, scope=WARD))["scope"] == WARD
    assert good(refresh(ehr, token))["scope"] == " ".join((*IDENTITY, WARD))


def test_t1_another_resource_is_refused(backstage: Backstage, ehr: SwiftEhr):
    """Only the audiences of the authorization request, one at a time (RFC 8707)."""
    scopes = (*IDENTITY, WARD, PHR)
    token = first(backstage, ehr, scopes=scopes, resources=["example:ward"], details=None)
    assert claims_of(good(refresh(ehr, token))["access_token"])["aud"] == "example:ward"
    for resource in ("nhn:phr", "nhn:selvbetjening", "https://nobody.example"):
        refused(refresh(ehr, token, resource=resource), "invalid_target")


def test_t1_a_scope_taken_from_the_client_is_gone_at_the_next_refresh(backstage: Backstage):
    """What an operator takes away from a client, a login of yesterday does not keep."""
    ehr = client(backstage)
    token = first(backstage, ehr)
    backstage.register(
        ehr.client_id,
        ehr.key,
        replace=True,
        grants=["authorization_code", "refresh_token"],
        scopes=["openid", "offline_access", "example:ward/patient"],
        redirect_uris=["https://ehr.example/callback"],
    )
    # A worker may know the client as it was for half a second more.
    assert eventually(lambda: refresh(ehr, token, scope=WARD).error == "invalid_scope")


@pytest.mark.parametrize(("seconds", "status"), [(28_799, 200), (28_800, 400), (28_801, 400)])
def test_t1_a_login_ends_in_time(seconds: int, status: int, timeline: Timeline):
    """After its eight hours a refresh token is dead, and no access token outlives it."""
    ehr = client(timeline.backstage)
    instant = timeline.moment()
    body = good(redeem(ehr, lay(timeline.backstage, ehr)))
    assert body["rt_expires_in"] == 28_800
    for _ in range(4):
        instant = timeline.moment()
    timeline.at(instant - 4 * timeline.STEP + seconds)
    answer = refresh(ehr, body["refresh_token"])
    assert answer.status == status, answer.body
    if status == 200:
        assert answer.json["expires_in"] == answer.json["rt_expires_in"] == 1
