"""A4 at a login: the attested practitioner is the person who has logged in, strongly enough (ATT-9, 11, 29, 32)."""

from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.ehr import DNR, FNR, attestation
from support.login import practitioner
from support.redeeming import IDENTITY, claims_of, client, good, lay, redeem, refresh, refused
from support.service import PHR

CLAIM = "nhn:tillitsrammeverk:parameters"
SCOPES = (*IDENTITY, PHR, CLAIM)
HPR = "urn:oid:2.16.578.1.12.4.1.4.4"

WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "another-person",
        {"practitioner__identifier": {"id": "29839013092", "system": FNR}},
        "access_denied",
        "ATT-11",
    ),
    (
        "a-d-number",
        {"practitioner__identifier": {"id": "54857527022", "system": DNR}},
        "access_denied",
        "ATT-11",
    ),
    (
        "wrong-check-digits",
        {"practitioner__identifier": {"id": "14857527038", "system": FNR}},
        "invalid_authorization_details",
        "ATT-10",
    ),
    (
        "another-hpr-number",
        {"practitioner__hpr_nr": {"id": "222209983", "system": HPR}},
        "access_denied",
        "ATT-29",
    ),
    (
        "another-authorization",
        {"practitioner__authorization": {"code": "SP", "system": "urn:oid:2.16.578.1.12.4.1.1.9060"}},
        "access_denied",
        "ATT-32",
    ),
]


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in; it may not attest without that."""
    return client(backstage)


@pytest.mark.parametrize(("changes", "code", "rule"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
@pytest.mark.parametrize("at_login", [True, False], ids=["with-the-login", "with-the-token-request"])
def test_a4_nobody_attests_for_another(  # noqa: PLR0917 (a table)
    at_login: bool, changes: dict[str, Any], code: str, rule: str, backstage: Backstage, ehr: SwiftEhr
):
    """Whichever way it comes, an attestation about somebody else is refused by its rule, without a number in it."""
    details = attestation(**changes)
    laid = lay(backstage, ehr, scopes=SCOPES, details=[details] if at_login else None)
    description = refused(redeem(ehr, laid, details=None if at_login else details), code)
    assert description.startswith(rule + ":")
    assert not any(len(word) >= 9 and word.isdigit() for word in description.split())


@pytest.mark.parametrize("level", ["2", "3"])
def test_a4_a_weak_login_attests_nothing(level: str, backstage: Backstage, ehr: SwiftEhr):
    """Below level high there is no attested token (ATT-9); others are given as they are."""
    user = practitioner(backstage.service.now(), security_level=level)
    laid = lay(backstage, ehr, user=user, scopes=(*SCOPES, "example:ward/list"))
    details = attestation(practitioner__identifier=...)
    assert refused(redeem(ehr, laid, resource="nhn:phr", details=details), "access_denied").startswith(
        "ATT-9:"
    )
    body = good(redeem(ehr, laid, resource="example:ward"))
    assert claims_of(body["id_token"])["acr"] == f"Level{level}"
    assert refused(
        refresh(ehr, body["refresh_token"], scope=PHR, details=details), "access_denied"
    ).startswith("ATT-9:")


def test_a4_who_is_left_out_is_filled_in_from_the_login(backstage: Backstage, ehr: SwiftEhr):
    """Without an identifier the token names the person who logged in, with name and HPR number of HPR."""
    laid = lay(backstage, ehr, scopes=SCOPES)
    body = good(redeem(ehr, laid, details=attestation(practitioner__identifier=...)))
    claims = claims_of(body["access_token"])
    assert claims[CLAIM]["practitioner"]["identifier"]["id"] == laid.authorized.user.pid
    assert claims[CLAIM]["practitioner"]["hpr_nr"]["id"] == "222209991"
    assert claims["practitioner_established_by"] == "login"
    assert claims["helseid://claims/identity/pid"] == laid.authorized.user.pid
    (entry,) = backstage.entries("issuer.token.issued", jti=claims["jti"])
    assert entry.public["family"] == laid.authorized.family
    assert entry.public["sid"] == laid.authorized.sid
    assert laid.authorized.user.pid not in str(entry.public)


def test_a4_who_is_not_in_hpr_has_no_number_and_no_authorization(backstage: Backstage, ehr: SwiftEhr):
    """A person HPR does not know can attest without an authorization, by the name of the login, without a number."""
    user = practitioner(backstage.service.now(), pid="05898597468")
    details = attestation(practitioner__identifier=..., practitioner__authorization=...)
    body = good(redeem(ehr, lay(backstage, ehr, user=user, scopes=SCOPES), details=details))
    claims = claims_of(body["access_token"])
    assert "hpr_nr" not in claims[CLAIM]["practitioner"]
    assert claims[CLAIM]["practitioner"]["identifier"]["name"] == user.name
    assert "helseid://claims/hpr/hpr_number" not in claims
    assert "helseid://claims/hpr/hpr_number" not in claims_of(body["id_token"])
