"""Every tolerance of every profile, one deviation at a time: who is forgiven, and that it is written down by name."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, WARD_LIST, Backstage
from support.ehr import Answer
from support.foreign_clients import registered
from support.foreign_logins import LOGIN, ForeignBrowser, LoginClient
from tillit.protocol.jose import ALGORITHMS
from tillit_server.issuer.clients.profiles import PROFILES

SCOPE = f"openid {WARD_LIST}"
UNIT = "311540025"
OLD_SYSTEM = "urn:oid:2.16.578.1.12.4.1.2.101"
ORGANISATION = {
    "type": "helseid_authorization",
    "practitioner_role": {
        "organization": {
            "identifier": {"system": "urn:oid:2.16.578.1.12.4.1.4.101", "type": "ENH", "value": UNIT}
        }
    },
}
MEMBERS = LOGIN | {"grants": [*LOGIN["grants"], "client_credentials"], "children": [UNIT]}

pytestmark = pytest.mark.xdist_group("journeys")

Act = Callable[[LoginClient], Answer]
Deviate = Callable[[LoginClient], dict[str, Any]]


def now() -> int:
    return int(time.time())


def issuer(client: LoginClient) -> str:
    return str(client.metadata["issuer"])


def asserting(claims: Deviate) -> Act:
    """A pushed request whose client assertion deviates."""
    return lambda client: client.push(client.parameters(SCOPE), **claims(client))


def requesting(claims: Deviate = lambda _: {}, typ: str = "oauth-authz-req+jwt") -> Act:
    """A pushed request whose request object holds everything and deviates in one thing."""

    def act(client: LoginClient) -> Answer:
        client.request_typ = typ
        said = dict(client.parameters(SCOPE)) | claims(client)
        return client.push([("client_id", client.client_id), ("request", client.request_object(**said))])

    return act


def merged(client: LoginClient) -> Answer:
    """A request object with nothing but who and when."""
    client.request_typ = "oauth-authz-req+jwt"
    request = client.request_object(client_id=client.client_id)
    return client.push([*client.parameters(SCOPE), ("request", request)])


def front_channel(client: LoginClient) -> Answer:
    """A request that was not pushed, to its end in a browser."""
    start = f"{client.metadata['authorization_endpoint']}?{client.query(SCOPE)}"
    first = ForeignBrowser().page(start)
    if first.status_code == 303:
        client.came_back(ForeignBrowser().open(start, client.redirect_uri))
    return Answer(200 if first.status_code == 303 else first.status_code, first.headers, first.content)


def without_pkce(client: LoginClient) -> Answer:
    """A request that nobody can be made to prove."""
    return client.push(
        [pair for pair in client.parameters(SCOPE) if not pair[0].startswith("code_challenge")]
    )


def machine(client: LoginClient, proof: str | None, scope: str, **claims: object) -> Answer:
    fields = {"grant_type": "client_credentials", "scope": scope, **client.authentication(**claims)}
    return client.send("token_endpoint", fields.items(), proof)


def empty_basic_header(client: LoginClient) -> Answer:
    """An ID and no secret in a Basic header, beside the assertion."""
    fields = [*client.parameters(SCOPE), *client.authentication().items()]
    return client.send(
        "pushed_authorization_request_endpoint", dict.fromkeys(fields), Authorization=client.without_secret()
    )


def unbound(client: LoginClient) -> Answer:
    """A token request without a proof."""
    return machine(client, None, SELF_SERVICE)


def bound(client: LoginClient, **claims: object) -> Answer:
    nonce = machine(client, client.proof(), WARD_LIST).headers["DPoP-Nonce"]
    return machine(client, client.proof(nonce), WARD_LIST, **claims)


def old_name(client: LoginClient) -> Answer:
    """Details under their former name."""
    return bound(client, authorization_details=ORGANISATION)


def old_system(client: LoginClient) -> Answer:
    """An organisation in the identifier system of a published sample."""
    identifier = {"system": OLD_SYSTEM, "type": "ENH", "value": UNIT}
    details = ORGANISATION | {"practitioner_role": {"organization": {"identifier": identifier}}}
    return bound(client, assertion_details=details)


LENIENT, LEGACY = ("helseid", "legacy"), ("legacy",)
TOLERANCES: dict[str, tuple[tuple[str, ...], Act]] = {
    "assertion.one_element_audience": (LENIENT, asserting(lambda client: {"aud": [issuer(client)]})),
    "assertion.trailing_slash_audience": (LENIENT, asserting(lambda client: {"aud": issuer(client) + "/"})),
    "assertion.token_endpoint_audience": (
        LEGACY,
        asserting(lambda client: {"aud": client.metadata["token_endpoint"]}),
    ),
    "assertion.string_iat": (LENIENT, asserting(lambda _: {"iat": str(now())})),
    "assertion.long_lifetime": (LEGACY, asserting(lambda _: {"exp": now() + 120})),
    "assertion.legacy_authorization_details": (LENIENT, old_name),
    "request_object.general_typ": (LENIENT, requesting(typ="JWT")),
    "request_object.assertion_typ": (LENIENT, requesting(typ="client-authentication+jwt")),
    "request_object.missing_client_id": (LENIENT, requesting(lambda _: {"client_id": ...})),
    "request_object.missing_nbf": (LENIENT, requesting(lambda _: {"nbf": ...})),
    "request_object.string_iat": (LENIENT, requesting(lambda _: {"iat": str(now())})),
    "request_object.trailing_slash_audience": (
        LENIENT,
        requesting(lambda client: {"aud": issuer(client) + "/"}),
    ),
    "merged_request_object": (LENIENT, merged),
    "front_channel": (LEGACY, front_channel),
    "pkce_required": (LEGACY, without_pkce),
    "empty_basic_header": (LEGACY, empty_basic_header),
    "dpop_required": (LEGACY, unbound),
    "lenient_organisation_system": (LENIENT, old_system),
}
WRITTEN_AS = {"pkce_required": "missing_pkce", "dpop_required": "bearer_token"}


def deviations(profile: str) -> set[str]:
    """What a profile forgives that the strict one does not, by the names of the data."""
    ours, strict, found = PROFILES[profile], PROFILES["fapi2"], set()
    for field in dataclasses.fields(ours):
        mine, theirs = getattr(ours, field.name), getattr(strict, field.name)
        if dataclasses.is_dataclass(mine):
            found |= {
                f"{field.name}.{member.name}"
                for member in dataclasses.fields(mine)
                if getattr(mine, member.name) != getattr(theirs, member.name)
            }
        elif mine != theirs and field.name not in {"name", "algorithms", "development_only"}:
            found.add(field.name)
    return found


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_tolerance_is_in_the_table(profile: str):
    """A tolerance added to a profile needs a row here; RS256 is the one deviation that is no act of a client."""
    assert {name for name, (who, _) in TOLERANCES.items() if profile in who} == deviations(profile)
    assert set(PROFILES[profile].algorithms) - set(ALGORITHMS) == (
        {"RS256"} if profile == "legacy" else set()
    )


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("tolerance", sorted(TOLERANCES))
def test_a_tolerance_is_for_its_profiles_and_is_written_down(
    tolerance: str, profile: str, backstage: Backstage
):
    """Forgiven and named in the audit where the profile says so; refused, and no entry, everywhere else."""
    forgiven, act = TOLERANCES[tolerance]
    name = WRITTEN_AS.get(tolerance, tolerance.rpartition(".")[2])
    client = registered(LoginClient, backstage, profile=profile, **MEMBERS)
    answer = act(client)
    if profile in forgiven:
        assert answer.status in {200, 201}, answer.body
        used = backstage.awaited("issuer.tolerance.used", client_id=client.client_id)
        assert name in {found for entry in used for found in entry.public["tolerances"]}
    else:
        assert answer.status in {400, 401}, answer.body
        assert backstage.entries("issuer.tolerance.used", client_id=client.client_id) == []


def test_a_client_that_does_as_it_should_uses_no_tolerance(backstage: Backstage):
    """Under the most lenient profile too, a request as it should be leaves nothing written about tolerances."""
    client = registered(LoginClient, backstage, profile="legacy", **MEMBERS)
    assert requesting()(client).status == 201
    assert client.push(client.parameters(SCOPE)).status == 201
    assert bound(client).status == 200
    assert backstage.entries("issuer.tolerance.used", client_id=client.client_id) == []
