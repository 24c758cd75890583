"""C1: the audience of an assertion is the issuer, as one string, to the letter."""

from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.intakes import ASSERTION, AUTHENTICATING, CARRIER, accepted, claims, header, present, refuses_all
from support.tokens import compact


def audiences(issuer: str) -> dict[str, Any]:
    """What resembles our issuer, or is another of our addresses."""
    return {
        "token endpoint": f"{issuer}/connect/token",
        "PAR endpoint": f"{issuer}/connect/par",
        "introspection": f"{issuer}/connect/introspect",
        "revocation": f"{issuer}/connect/revocation",
        "explain": f"{issuer}/explain",
        "array of one": [issuer],
        "array of two": [issuer, "https://other.example"],
        "final slash": f"{issuer}/",
        "upper case": issuer.upper(),
        "another port": issuer.rpartition(":")[0] + ":443",
        "user info": issuer.replace("//", "//me@"),
        "query": f"{issuer}?",
        "fragment": f"{issuer}#",
        "blank": f"{issuer} ",
        "prefix": issuer[:-1],
        "another server": "https://other.example",
        "missing": ...,
        "null": None,
        "empty": [],
        "object": {issuer: True},
        "nested": [[issuer]],
    }


@pytest.mark.parametrize("intake", [*AUTHENTICATING, CARRIER])
def test_c1_nothing_but_the_exact_issuer_is_accepted(intake: str, attacker: SwiftEhr):
    """An assertion made for our token endpoint, for an array, or for a name like ours is refused."""
    tokens = {
        name: compact(header(intake, attacker), claims(intake, attacker, aud=audience), attacker.key)
        for name, audience in audiences(attacker.service.issuer).items()
    }
    assert refuses_all(attacker, intake, tokens) == {}


TOLERATED = {
    "helseid": {
        "array of one": ("one_element_audience",),
        "final slash": ("trailing_slash_audience",),
        "slash in array": ("one_element_audience", "trailing_slash_audience"),
    },
    "legacy": {
        "array of one": ("one_element_audience",),
        "final slash": ("trailing_slash_audience",),
        "token endpoint": ("token_endpoint_audience",),
    },
}


@pytest.mark.parametrize("intake", AUTHENTICATING)
@pytest.mark.parametrize("profile", TOLERATED)
def test_c1_what_a_profile_tolerates_is_accepted_and_written_down(
    profile: str, intake: str, backstage: Backstage
):
    """Each tolerated audience is accepted from a client of that profile, and the audit names the tolerance."""
    ehr = backstage.client(profile=profile)
    issuer = ehr.service.issuer
    known = {**audiences(issuer), "slash in array": [f"{issuer}/"]}
    for name, tolerances in TOLERATED[profile].items():
        payload = claims(ASSERTION, ehr, aud=known[name])
        assert accepted(present(ehr, intake, compact(header(ASSERTION, ehr), payload, ehr.key)))
        (entry,) = backstage.entries("issuer.tolerance.used", assertion_jti=payload["jti"])
        assert tuple(entry.public["tolerances"]) == tolerances


@pytest.mark.parametrize("intake", AUTHENTICATING)
@pytest.mark.parametrize("profile", TOLERATED)
def test_c1_a_profile_tolerates_nothing_else(profile: str, intake: str, backstage: Backstage):
    """What the profile does not name is refused as in the strict one."""
    ehr = backstage.client(profile=profile)
    tokens = {
        name: compact(header(ASSERTION, ehr), claims(ASSERTION, ehr, aud=audience), ehr.key)
        for name, audience in audiences(ehr.service.issuer).items()
        if name not in TOLERATED[profile]
    }
    assert refuses_all(ehr, intake, tokens) == {}
