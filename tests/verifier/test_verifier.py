"""What a document source may rely on, and what it answers otherwise."""

import json
import logging

import pytest
from freezegun import freeze_time

from support.stand_in import (
    AUDIENCE,
    ISSUER,
    NOW,
    OTHER_PATIENT,
    PATIENT,
    PRACTITIONER,
    SCOPE,
    URL,
    World,
)
from tillit.outbound import TransportError
from tillit.protocol.challenge import parse_challenge
from tillit.protocol.jose import ALGORITHMS
from tillit.verifier import Refused, Verifier


def challenge(refused):
    (found,) = parse_challenge(dict(refused.headers)["WWW-Authenticate"])
    return found


def body(refused):
    return json.loads(refused.body)


def test_a_good_request_gives_access(world):
    """A bound, attested token with a fresh proof is let through, and says who asks and why."""
    access = world.verify(patient=PATIENT)

    assert access.person.number == PRACTITIONER
    assert access.person.name == "KLAR SKOGSTJERNE"
    assert access.person.hpr_number == "222209991"
    assert access.person.authorization == "LE"
    assert access.person.established_by == "login"
    assert access.organisation.legal_entity == "310000019"
    assert access.organisation.legal_entity_name == "NORDFJELL UNIVERSITETSSYKEHUS HF"
    assert access.organisation.point_of_care == "311540025"
    assert access.organisation.department is None
    assert access.attestation.toa == NOW
    assert access.scope == (SCOPE,)
    assert access.client_id == "ehr-nordfjell"
    assert access.purpose == "TREAT"
    assert access.patients == {PATIENT}
    assert access.expires_at == NOW + 600
    assert access.key_thumbprint == world.dpop_key.public.thumbprint
    assert access.claims["sub"] == "k3x9q0v7"


def test_headers_may_be_a_mapping_in_any_case(world):
    """Header names are compared without regard to case, and a mapping will do where duplicates cannot occur."""
    token = world.token()
    headers = {"authorization": f"dpop {token}", "dpop": world.proof(token)}

    assert world.verifier.verify("GET", URL, headers).client_id == "ehr-nordfjell"


def test_att_8_access_shows_no_personal_data_when_printed(world):
    """An Access that ends up in a log shows neither persons' numbers nor names."""
    access = world.verify()
    shown = f"{access!r} {access.person!r}"

    for secret in (PRACTITIONER, PATIENT, "SKOGSTJERNE", "222209991"):
        assert secret not in shown


def test_without_credentials_the_challenge_has_no_error(world):
    """A request without Authorization learns the scheme and the algorithms, and no error code (RFC 6750 §3.1)."""
    with pytest.raises(Refused) as caught:
        world.verifier.verify("GET", URL, [])

    assert caught.value.status == 401
    assert challenge(caught.value).scheme == "DPoP"
    assert challenge(caught.value).attributes == {"algs": " ".join(ALGORITHMS)}
    assert ("Content-Type", "application/json") in caught.value.headers


@pytest.mark.parametrize(
    "authorization",
    ["", "DPoP", "DPoP ", "DPoP a b", "DPoP a, DPoP b", "DPoP a\n", "Dp\u00f8P a", "a" * 100_000, "DPoP é"],
)
def test_credentials_that_cannot_be_read_are_refused(world, authorization):
    """Anything but one scheme and one token is a 401, and is not quoted back."""
    with pytest.raises(Refused) as caught:
        world.verifier.verify("GET", URL, [("Authorization", authorization)])

    assert caught.value.status == 401
    assert caught.value.error == "invalid_token"
    assert "é" not in str(caught.value)


def test_two_authorization_headers_are_refused(world):
    """Two Authorization headers are refused even when both are good."""
    token = world.token()
    headers = [
        ("Authorization", f"DPoP {token}"),
        ("authorization", f"DPoP {token}"),
        ("DPoP", world.proof(token)),
    ]
    with pytest.raises(Refused) as caught:
        world.verifier.verify("GET", URL, headers)

    assert caught.value.error == "invalid_token"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://other.example"}, "payload.iss"),
        ({"iss": ISSUER + "/"}, "payload.iss"),
        ({"aud": "other"}, "payload.aud"),
        ({"aud": [AUDIENCE, "other"]}, "payload.aud"),
        ({"aud": ...}, "payload.aud"),
        ({"exp": NOW - 11}, "payload.exp"),
        ({"exp": ...}, "payload.exp"),
        ({"nbf": NOW + 11}, "payload.nbf"),
        ({"iat": NOW + 11}, "payload.iat"),
        ({"sub": ...}, "payload.sub"),
        ({"client_id": ...}, "payload.client_id"),
        ({"jti": ...}, "payload.jti"),
        ({"scope": {"a": 1}}, "payload.scope"),
        ({"cnf": {"jkt": 7}}, "payload.cnf"),
        ({"cnf": {"x5t#S256": "x"}}, "payload.cnf"),
    ],
)
def test_a_token_with_one_wrong_claim_is_refused(world, changes, reason):
    """Each claim of RFC 9068 is checked; the caller learns that the token is invalid, the log learns which claim."""
    refused = world.refusal(world.token(**changes))

    assert (refused.status, refused.error) == (401, "invalid_token")
    assert reason in refused.detail
    assert reason not in refused.body.decode()
    assert challenge(refused).error == "invalid_token"


@pytest.mark.parametrize("changes", [{"exp": NOW - 10}, {"nbf": NOW + 10}, {"iat": NOW + 10}])
def test_ten_seconds_of_clock_difference_are_forgiven(world, changes):
    """Times of a token may be off by ten seconds."""
    assert world.verify(world.token(**changes)).client_id == "ehr-nordfjell"


def test_a_missing_scope_is_named(world):
    """A token without a scope this API needs is a 403 that names the scope (RFC 6750 §3.1)."""
    world = World(scope=f"{SCOPE} nhn:phr/mhd/read-document")
    refused = world.refusal()

    assert (refused.status, refused.error) == (403, "insufficient_scope")
    assert challenge(refused).attributes["scope"] == f"{SCOPE} nhn:phr/mhd/read-document"


@pytest.mark.parametrize("scope", [SCOPE, [SCOPE], None])
def test_a_granted_scope_suffices(scope):
    """A scope may be demanded as a string, as a collection, or not at all; it may arrive as array or as string."""
    world = World(scope=scope)

    assert world.verify(world.token(scope=f"other {SCOPE}")).scope == ("other", SCOPE)


def test_a_blocked_patient_looks_like_another_patient(world):
    """The source's own refusals about a patient are the same bytes as ours, so that no block shows (ATT-5)."""
    ours = world.refusal(patient=OTHER_PATIENT)
    theirs = world.verifier.not_permitted("blocked")

    assert (ours.status, ours.headers, ours.body) == (theirs.status, theirs.headers, theirs.body)
    assert body(ours) == {"error": "access_denied"}


def test_an_issuer_that_cannot_be_asked_is_a_503(world):
    """Without keys nothing is let through: 503 with Retry-After, and no challenge."""
    world.issuer.failing = 500
    refused = world.refusal()

    assert (refused.status, refused.error) == (503, "temporarily_unavailable")
    assert int(dict(refused.headers)["Retry-After"]) > 0
    assert "WWW-Authenticate" not in dict(refused.headers)


@freeze_time("2026-01-15T08:30:00Z")
def test_the_default_clock_is_the_systems():
    """Without a clock the verifier goes by the system's: a frozen system clock decides."""
    world = World()
    verifier = Verifier(ISSUER, AUDIENCE, http=world.issuer)
    token = world.token()

    assert verifier.verify("GET", URL, [("Authorization", f"DPoP {token}"), ("DPoP", world.proof(token))])
    with freeze_time("2026-01-15T08:40:11Z"):
        world.now = NOW + 611
        with pytest.raises(Refused) as caught:
            verifier.verify("GET", URL, [("Authorization", f"DPoP {token}"), ("DPoP", world.proof(token))])
    assert caught.value.error == "invalid_token"


@pytest.mark.parametrize(
    "issuer", ["http://issuer.example", "issuer.example", "", "https://u:p@issuer.example", "file:///x"]
)
def test_keys_never_travel_in_the_clear(issuer):
    """An issuer must be https, or on loopback: whoever can change the keys decides who gets in."""
    with pytest.raises(TransportError) as caught:
        Verifier(issuer, AUDIENCE)

    assert caught.value.code == TransportError.INSECURE_URL


def test_refusals_are_never_cached(world):
    """A refusal carries Cache-Control: no-store and a JSON body of the two named members."""
    refused = world.refusal(world.token(aud="other"))

    assert dict(refused.headers)["Cache-Control"] == "no-store"
    assert set(body(refused)) == {"error", "error_description"}


def test_u5_nothing_secret_is_logged(world, caplog):
    """Neither tokens nor numbers reach the log, whatever is refused."""
    caplog.set_level(logging.DEBUG)
    token = world.token(aud="other")
    world.refusal(token)
    world.issuer.failing = TransportError("unreachable")
    world.now += 3600
    world.refusal(world.token())

    assert token not in caplog.text
    assert PRACTITIONER not in caplog.text
    assert PATIENT not in caplog.text


def test_ping_says_whether_the_issuer_can_be_asked(world):
    """A health check can ask for keys without a request at hand."""
    assert world.verifier.ping() == 1
