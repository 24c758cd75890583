"""T5: a token is exchanged by the API it is for, if that may; for less, for no longer, and never in secret."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.backstage import Backstage, SwiftEhr, Timeline, eventually
from support.ehr import ATTESTATION, attestation
from support.granted import introspect, revoke
from support.redeeming import (
    EVERYTHING,
    EXCHANGE,
    WARD,
    claims_of,
    client,
    exchange,
    exchange_form,
    good,
    lay,
    redeem,
    refused,
)
from support.service import PHR, PHR_DOCUMENT
from support.tokens import compact
from tillit.protocol.access_token import access_token_claims
from tillit_server.issuer.apis import IDENTITY_SCOPES
from tillit_server.issuer.claims import CLAIMS_OF_SCOPE

WARD_PATIENT = "example:ward/patient"
ATTESTED = "nhn:tillitsrammeverk:parameters"


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in."""
    return client(backstage)


@pytest.fixture(scope="module")
def source(backstage: Backstage) -> SwiftEhr:
    """The API nhn:phr as a client that may exchange the tokens it is sent, to ask the ward."""
    return api(backstage)


def api(backstage: Backstage, **members: Any) -> SwiftEhr:
    """An API as a client."""
    given = {"grants": [EXCHANGE], "audiences": ["nhn:phr", "example:ward"], "legal_entities": ["314200772"]}
    return backstage.client(**{**given, "scopes": [PHR, WARD, WARD_PATIENT], **members})


def sent(behind: Backstage, ehr: SwiftEhr, details: Any = None, **members: Any) -> str:
    """An access token for nhn:phr, with the practitioner's attestation."""
    laid = lay(behind, ehr, scopes=EVERYTHING, **members)
    details = attestation(practitioner__identifier=...) if details is None else details
    return str(good(redeem(ehr, laid, resource="nhn:phr", details=details))["access_token"])


def test_t5_the_person_and_the_attestation_are_carried_on(
    backstage: Backstage, ehr: SwiftEhr, source: SwiftEhr
):
    """The new token is for the next API, bound to the actor's key, and says who acts for whom."""
    token = sent(backstage, ehr)
    before = claims_of(token)
    body = good(exchange(source, token))
    assert body["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert body["scope"] == WARD
    assert set(body) == {"access_token", "expires_in", "issued_token_type", "scope", "token_type"}
    after = claims_of(body["access_token"])
    assert (after["aud"], after["client_id"], after["sub"]) == (
        "example:ward",
        source.client_id,
        before["sub"],
    )
    assert after["cnf"] == {"jkt": source.dpop_key.public.thumbprint}
    assert after["exp"] <= before["exp"]
    assert after[ATTESTED] == before[ATTESTED]
    assert after["practitioner_established_by"] == "login"
    assert after["helseid://claims/client/claims/orgnr_parent"] == "314200772"
    assert after["act"] == {
        "iss": source.service.issuer,
        "sub": source.client_id,
        "client_id": source.client_id,
        "helseid://claims/client/claims/orgnr_parent": "314200772",
    }
    (entry,) = backstage.entries("issuer.token.issued", jti=after["jti"])
    assert entry.public["subject_jti"] == before["jti"]


def test_t5_a_chain_names_everyone_and_ends_at_four(backstage: Backstage, ehr: SwiftEhr, source: SwiftEhr):
    """Each actor stands in the chain, the last one first; who would be the fifth is refused."""
    token = sent(backstage, ehr)
    actors = [source, *(api(backstage) for _ in range(3))]
    for count, actor in enumerate(actors, start=1):
        token = good(exchange(actor, token))["access_token"]
        chain, act = [], claims_of(token).get("act")
        while act:
            chain.append(act["client_id"])
            act = act.get("act")
        assert chain == [actor.client_id for actor in reversed(actors[:count])]
    refused(exchange(api(backstage), token), "invalid_request")


def test_t5_a_machines_token_too(backstage: Backstage, source: SwiftEhr):
    """Where nobody has logged in, the first client stays the subject, and its enterprise vouches."""
    machine = backstage.client()
    after = claims_of(good(exchange(source, machine.token().json["access_token"]))["access_token"])
    assert (after["sub"], after["client_id"]) == (machine.client_id, source.client_id)
    assert after["practitioner_established_by"] == "legal_entity"
    assert introspect(
        source, good(exchange(source, machine.token().json["access_token"]))["access_token"]
    ).json["active"]


def test_t5_only_who_is_registered_for_it(backstage: Backstage, ehr: SwiftEhr):
    """Without the grant a client hears that it may not, before anybody looks at the token."""
    stranger = api(backstage, grants=["client_credentials"])
    refused(exchange(stranger, sent(backstage, ehr)), "unauthorized_client")
    refused(exchange(stranger, "nothing"), "unauthorized_client")


def test_t5_only_whom_the_token_is_for(backstage: Backstage, ehr: SwiftEhr):
    """Who is not the audience cannot exchange: another API, none, or the client the token was made for."""
    token = sent(backstage, ehr)
    for audiences in ([], ["example:ward"], ["example:ward", "nhn:selvbetjening"]):
        refused(exchange(api(backstage, audiences=audiences), token), "invalid_request")
    own = client(backstage, grants=["authorization_code", "refresh_token", EXCHANGE])
    refused(exchange(own, sent(backstage, own)), "invalid_request")


def test_t5_only_a_live_token(backstage: Backstage, ehr: SwiftEhr, source: SwiftEhr):
    """A token that was revoked, or whose login has ended, is refused; and what is exchanged ends with it."""
    token = sent(backstage, ehr)
    revoke(ehr, token)
    refused(exchange(source, token), "invalid_request")
    laid = lay(backstage, ehr, scopes=EVERYTHING)
    details = attestation(practitioner__identifier=...)
    body = good(redeem(ehr, laid, resource="nhn:phr", details=details))
    after = good(exchange(source, body["access_token"]))["access_token"]
    assert introspect(source, after).json["active"]
    revoke(ehr, body["refresh_token"])
    refused(exchange(source, body["access_token"]), "invalid_request")
    assert introspect(source, after).json == {"active": False}


def chain(backstage: Backstage, who: str) -> tuple[SwiftEhr, str, list[SwiftEhr], list[str]]:
    """A first client, its token, two APIs that exchange one after the other, and the token of each."""
    first = client(backstage) if who == "a person" else backstage.client()
    token = sent(backstage, first) if who == "a person" else str(first.token().json["access_token"])
    actors, tokens = [api(backstage), api(backstage)], [token]
    for actor in actors:
        tokens.append(str(good(exchange(actor, tokens[-1]))["access_token"]))
    return first, token, actors, tokens[1:]


@pytest.mark.parametrize("who", ["a person", "a machine"])
@pytest.mark.parametrize("revoked", [0, 1])
def test_t5_what_was_made_of_a_revoked_token_dies_with_it(who: str, revoked: int, backstage: Backstage):
    """Whichever token of a chain is given up: all that came of it is inactive and cannot be exchanged."""
    first, token, actors, exchanged = chain(backstage, who)
    owners, tokens = [first, *actors], [token, *exchanged]
    assert all(introspect(o, t).json["active"] for o, t in zip(owners, tokens, strict=True))
    assert revoke(owners[revoked], tokens[revoked]).status == 200
    active = [introspect(o, t).json["active"] for o, t in zip(owners, tokens, strict=True)]
    assert active == [number < revoked for number in range(3)]
    refused(exchange(actors[1], tokens[2]), "invalid_request")
    refused(exchange(actors[1], tokens[1]), "invalid_request")


@pytest.mark.parametrize("who", ["a person", "a machine"])
@pytest.mark.parametrize("disabled", [0, 1])
def test_t5_what_was_made_of_a_disabled_clients_token_is_dead(who: str, disabled: int, backstage: Backstage):
    """Once the first client or an actor is shut off, tokens that came of its own are good for nothing."""
    first, _, actors, exchanged = chain(backstage, who)
    owner = [first, *actors][disabled]
    backstage.set_disabled(owner.client_id, disabled=True)
    assert eventually(lambda: introspect(actors[1], exchanged[1]).json == {"active": False})
    assert eventually(lambda: exchange(actors[1], exchanged[1]).error == "invalid_request")
    backstage.set_disabled(owner.client_id, disabled=False)
    assert eventually(lambda: introspect(actors[1], exchanged[1]).json["active"])


def test_t5_an_exchanged_token_that_the_store_does_not_know(backstage: Backstage, ehr: SwiftEhr):
    """Nobody can tell what it came of, so it is not good, whether a person stands behind it or a machine."""
    actor = api(backstage)
    for subject in (ehr.client_id, "a" * 43 + "="):
        payload = access_token_claims(
            issuer=backstage.service.issuer,
            subject=subject,
            audience="example:ward",
            client_id=actor.client_id,
            scope=(WARD,),
            now=backstage.service.now(),
            lifetime=600,
            jkt=actor.dpop_key.public.thumbprint,
            claims={"act": {"client_id": actor.client_id}},
        )
        token = backstage.services.signer.sign("at+jwt", payload, "ES256")[0]
        assert introspect(actor, token).json == {"active": False}
        refused(exchange(actor, token), "invalid_request")


def test_t5_nothing_but_an_access_token_of_ours(backstage: Backstage, ehr: SwiftEhr, source: SwiftEhr):
    """ID token, refresh token, assertion, proof, a token signed by others or changed: none is exchanged."""
    laid = lay(backstage, ehr, scopes=EVERYTHING)
    details = attestation(practitioner__identifier=...)
    body = good(redeem(ehr, laid, resource="nhn:phr", details=details))
    token = body["access_token"]
    header, payload, signature = token.split(".")
    claims = claims_of(token)
    foreign = compact({"typ": "at+jwt", "alg": "ES256", "kid": ehr.key.kid}, claims, ehr.key)
    others = [
        body["id_token"],
        body["refresh_token"],
        ehr.assertion(),
        ehr.proof(),
        foreign,
        compact({"typ": "at+jwt", "alg": "none"}, claims),
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{header}.{payload}.",
        token[:-1],
        "",
        "nothing",
    ]
    for other in others:
        refused(exchange(source, other), "invalid_request")
    good(exchange(source, token))


@pytest.mark.parametrize(
    "fields",
    [
        {"subject_token_type": ...},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"actor_token": "eyJhbGciOiJub25lIn0.e30."},
        {"actor_token_type": "urn:ietf:params:oauth:token-type:access_token"},
        {"subject_token": ...},
    ],
    ids=lambda fields: "-".join(f"{name}" for name in fields),
)
def test_t5_nothing_is_guessed(fields: dict[str, Any], backstage: Backstage, ehr: SwiftEhr, source: SwiftEhr):
    """Types that are missing or not offered, and a second word on who acts, are ``invalid_request``."""
    form = exchange_form(source, sent(backstage, ehr), **fields)
    refused(source.send(form, source.proof()), "invalid_request")


def test_t5_grants_nobody_has(source: SwiftEhr):
    """Unknown grant types stay unknown, however near they are to one there is."""
    for grant in (EXCHANGE + "s", EXCHANGE.upper(), "token-exchange", "password", "implicit"):
        form = exchange_form(source, "nothing", grant_type=grant)
        refused(source.send(form, source.proof()), "unsupported_grant_type")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"scope": "nhn:selvbetjening/client"}, "invalid_scope"),
        ({"scope": PHR_DOCUMENT}, "invalid_scope"),
        ({"scope": f"openid {WARD}"}, "invalid_scope"),
        ({"scope": f"offline_access {WARD}"}, "invalid_scope"),
        ({"resource": "nhn:selvbetjening"}, "invalid_target"),
        ({"audience": "nhn:selvbetjening"}, "invalid_target"),
        ({"audience": "example:ward", "resource": "nhn:phr"}, "invalid_target"),
        ({"scope": f"{PHR} {WARD}"}, "invalid_target"),
    ],
)
def test_t5_no_more_than_the_actor_may(
    fields: dict[str, Any], code: str, backstage: Backstage, ehr: SwiftEhr, source: SwiftEhr
):
    """Scopes and audiences that the actor is not registered for are refused, whatever the subject token held."""
    refused(exchange(source, sent(backstage, ehr), **fields), code)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(asked=st.sets(st.sampled_from((*EVERYTHING, "nhn:selvbetjening/client", "a:b/c")), min_size=1))
def test_t5_scope_never_grows(asked: set[str], backstage: Backstage, ehr: SwiftEhr, source: SwiftEhr):
    """Whatever is asked for, what comes out is among what was asked and what the actor is registered for."""
    answer = exchange(source, sent(backstage, ehr), scope=" ".join(sorted(asked)))
    if answer.status == 200:
        scopes = claims_of(answer.json["access_token"])["scope"]
        assert set(scopes) <= asked & {PHR, WARD, WARD_PATIENT}
    else:
        assert answer.error in {"invalid_scope", "invalid_target"}


def test_t5_what_is_known_of_the_person_never_widens(backstage: Backstage, ehr: SwiftEhr):
    """No identity scope comes through an exchange, nor a claim that the new API gives nobody after a login."""
    identity = [scope for scope in EVERYTHING if scope in IDENTITY_SCOPES]
    actor = api(backstage, scopes=[PHR, WARD, *identity])
    token = sent(backstage, ehr)
    for scope in identity:
        refused(exchange(actor, token, scope=f"{scope} {WARD}"), "invalid_scope")
    for audience, scope in (("example:ward", WARD), ("nhn:phr", PHR)):
        body = good(exchange(actor, token, scope=scope))
        after = claims_of(body["access_token"])
        registered = backstage.services.apis.by_audience[audience].claims
        about_the_person = {claim for claims in CLAIMS_OF_SCOPE.values() for claim in claims}
        assert after["scope"] == [scope]
        assert set(after) & about_the_person == registered & about_the_person
        assert not {"id_token", "refresh_token"} & set(body)
    assert "helseid://claims/identity/pid" not in claims_of(
        good(exchange(actor, token, scope=WARD))["access_token"]
    )
    assert after["helseid://claims/identity/pid"] == claims_of(token)["helseid://claims/identity/pid"]


def test_t5_who_acts_cannot_attest(backstage: Backstage, ehr: SwiftEhr, source: SwiftEhr):
    """An attestation sent with an exchange is refused; the one of the subject token is judged for the new API."""
    token = sent(backstage, ehr)
    description = refused(exchange(source, token, details=ATTESTATION), "invalid_authorization_details")
    assert description.startswith("ATT-EXCHANGE: ")
    without = attestation(practitioner__identifier=..., patients=[])
    refused(
        exchange(source, sent(backstage, ehr, without), scope=WARD_PATIENT), "invalid_authorization_details"
    )
    good(exchange(source, token, scope=WARD_PATIENT))


def test_t5_an_api_that_did_not_ask_gets_none(backstage: Backstage, ehr: SwiftEhr):
    """Carried on only to APIs that have asked for the attestation."""
    narrow = api(backstage, scopes=["nhn:selvbetjening/client"])
    after = claims_of(
        good(exchange(narrow, sent(backstage, ehr), scope="nhn:selvbetjening/client"))["access_token"]
    )
    assert ATTESTED not in after
    assert "practitioner_established_by" not in after


@pytest.mark.parametrize(("seconds", "status"), [(0, 200), (598, 200), (599, 200), (600, 400)])
def test_t5_never_outlives_the_subject_token(seconds: int, status: int, timeline: Timeline):
    """The new token ends when the old one does, though its API would give an hour."""
    behind = timeline.backstage
    ehr, source = client(behind), api(behind)
    instant = timeline.moment()
    token = sent(behind, ehr)
    timeline.at(instant + seconds)
    answer = exchange(source, token)
    assert answer.status == status, answer.body
    if status == 200:
        assert answer.json["expires_in"] == 600 - seconds
        assert claims_of(answer.json["access_token"])["exp"] == claims_of(token)["exp"]


def test_t5_a_proof_of_its_own(backstage: Backstage, ehr: SwiftEhr, source: SwiftEhr):
    """The actor proves its own key; without a proof there is nothing, and the sender's is not asked for."""
    token = sent(backstage, ehr)
    refused(source.send(exchange_form(source, token), None), "invalid_dpop_proof")


def test_t5_without_a_scope_it_is_all_the_actor_has(backstage: Backstage, ehr: SwiftEhr):
    """An exchange has its attestation with it, so no scope has to wait for one."""
    actor = api(backstage, scopes=[PHR, PHR_DOCUMENT])
    body = good(exchange(actor, sent(backstage, ehr), scope=...))
    assert body["scope"] == f"{PHR} {PHR_DOCUMENT}"
    assert ATTESTED in claims_of(body["access_token"])
