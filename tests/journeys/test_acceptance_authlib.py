"""Every flow with Authlib at the other end: what it cannot do (PAR, DPoP) is done by hand, with nothing of ours."""

import secrets
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.oidc.core import CodeIDToken
from joserfc import jwk as jose_jwk
from joserfc import jwt as jose_jwt

from support.backstage import ATTESTATION_SCOPE, WARD_LIST, Backstage
from support.ehr import attestation
from support.foreign_authlib import FORM, Independent
from support.foreign_logins import DOCTOR, LOGIN, REDIRECT_URI, ForeignBrowser
from support.service import PHR, http_json

ATTESTED = attestation(practitioner__identifier=...)
SCOPE = f"openid profile offline_access {PHR} {ATTESTATION_SCOPE}"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"

pytestmark = pytest.mark.xdist_group("journeys")


class WithLogin(Independent):
    """An Authlib session for a client with a login."""

    def __init__(self, backstage: Backstage, **members: Any) -> None:
        client_id = f"authlib-{secrets.token_hex(4)}"
        super().__init__(backstage, client_id, REDIRECT_URI, **(LOGIN | members))
        self.client_id = client_id
        self.proof_key = jose_jwk.ECKey.generate_key("P-256")
        self.verifier, self.expected_nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)

    def asked(self, scope: str) -> str:
        """The authorization request as Authlib builds it: an address with everything in it."""
        address, self.state = self.session.create_authorization_url(
            self.metadata["authorization_endpoint"],
            code_verifier=self.verifier,
            nonce=self.expected_nonce,
            scope=scope,
        )
        return str(address)

    def pushed(self, scope: str) -> str:
        """The same request, pushed: what was in the address goes into a form, and a reference into the address."""
        self.authenticate(self.metadata["issuer"])
        endpoint = self.metadata["pushed_authorization_request_endpoint"]
        answer = self.session.request(
            "POST",
            endpoint,
            withhold_token=True,
            auth=self.session.client_auth("private_key_jwt"),
            data=parse_qsl(urlsplit(self.asked(scope)).query),
            headers={"Content-Type": FORM, "DPoP": self.proof(self.proof_key, url=endpoint)},
        )
        assert answer.status_code == 201, answer.text
        query = {"client_id": self.client_id, "request_uri": answer.json()["request_uri"]}
        return f"{self.metadata['authorization_endpoint']}?{urlencode(query)}"

    def danced(self, *, audience: str | None = None, details: Any = None, **request: Any) -> dict[str, Any]:
        """A token request by Authlib, repeated after the challenge."""
        claims = {} if details is None else {"assertion_details": details}
        for _ in range(2):
            self.authenticate(audience or self.metadata["issuer"], **claims)
            headers = {"Content-Type": FORM, "DPoP": self.proof(self.proof_key)}
            try:
                return dict(
                    self.session.fetch_token(self.metadata["token_endpoint"], headers=headers, **request)
                )
            except OAuthError as error:
                if error.error != "use_dpop_nonce":
                    raise
        raise AssertionError("challenged twice")

    def redeemed(self, back: str, **claims: Any) -> dict[str, Any]:
        """The tokens for what the browser brought back; Authlib looks at the state."""
        return self.danced(
            authorization_response=back, state=self.state, code_verifier=self.verifier, **claims
        )

    def identity(self, token: dict[str, Any]) -> dict[str, Any]:
        """The ID token, verified by joserfc and judged by Authlib."""
        keys = jose_jwk.KeySet.import_key_set(http_json("GET", self.metadata["jwks_uri"])[2])
        decoded = jose_jwt.decode(token["id_token"], keys, algorithms=["ES256"])
        said = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": self.metadata["issuer"]},
                "aud": {"essential": True, "value": self.client_id},
            },
            params={
                "client_id": self.client_id,
                "nonce": self.expected_nonce,
                "access_token": token["access_token"],
            },
        )
        said.validate()
        return dict(said)

    def resource(self, method: str, url: str, token: str) -> Any:
        """Something behind a bound token."""
        headers = {"Authorization": f"DPoP {token}", "DPoP": self.proof(self.proof_key, method, url, token)}
        return self.session.request(method, url, withhold_token=True, headers=headers)


@pytest.fixture
def authlib(backstage: Backstage) -> Any:
    """A strict client of Authlib's."""
    client = WithLogin(backstage)
    with client.session:
        yield client


def test_authlib_logs_in_and_verifies_everything(authlib: WithLogin):
    """Request pushed, state and ID token judged by Authlib, token bound, userinfo about the same person."""
    back = ForeignBrowser().open(authlib.pushed(SCOPE), REDIRECT_URI)
    token = authlib.redeemed(back, details=ATTESTED)
    claims = authlib.verified(token["access_token"], "nhn:phr")
    assert claims["cnf"] == {"jkt": authlib.proof_key.thumbprint()}
    assert claims["nhn:tillitsrammeverk:parameters"]["practitioner"]["identifier"]["id"] == DOCTOR
    identity = authlib.identity(token)
    assert identity["sub"] == claims["sub"]
    user = authlib.resource("GET", authlib.metadata["userinfo_endpoint"], token["access_token"])
    assert (user.status_code, user.json()["sub"]) == (200, identity["sub"])


def test_authlib_refreshes_introspects_and_revokes(authlib: WithLogin):
    """One patient after another by refresh; a token it revoked is good for nothing, nor is the refresh token."""
    token = authlib.redeemed(ForeignBrowser().open(authlib.pushed(SCOPE), REDIRECT_URI), details=ATTESTED)
    other = attestation(practitioner__identifier=..., patients__0__identifier__id="63714815050")
    renewed = authlib.danced(grant_type="refresh_token", refresh_token=token["refresh_token"], details=other)
    claims = authlib.verified(renewed["access_token"], "nhn:phr")
    assert claims["nhn:tillitsrammeverk:parameters"]["patients"][0]["identifier"]["id"] == "63714815050"
    userinfo = authlib.metadata["userinfo_endpoint"]
    assert authlib.resource("GET", userinfo, renewed["access_token"]).status_code == 200

    authlib.authenticate(authlib.metadata["issuer"])
    gone = authlib.session.revoke_token(
        authlib.metadata["revocation_endpoint"], token=token["refresh_token"], token_type_hint="refresh_token"
    )
    assert gone.status_code == 200
    assert authlib.resource("GET", userinfo, renewed["access_token"]).status_code == 401
    with pytest.raises(OAuthError, match="invalid_grant"):
        authlib.danced(grant_type="refresh_token", refresh_token=token["refresh_token"], details=other)


def test_authlib_as_an_api_introspects_and_exchanges(authlib: WithLogin, backstage: Backstage):
    """An API that is the token's audience sees that it is active, and exchanges it for one of its own key."""
    token = authlib.redeemed(ForeignBrowser().open(authlib.pushed(SCOPE), REDIRECT_URI), details=ATTESTED)
    api = WithLogin(backstage, grants=[EXCHANGE], audiences=["nhn:phr"], redirect_uris=[])
    with api.session:
        api.authenticate(api.metadata["issuer"])
        seen = api.session.introspect_token(
            api.metadata["introspection_endpoint"], token=token["access_token"]
        ).json()
        assert (seen["active"], seen["client_id"]) == (True, authlib.client_id)
        exchanged = api.danced(
            grant_type=EXCHANGE,
            subject_token=token["access_token"],
            subject_token_type=ACCESS_TOKEN,
            scope=WARD_LIST,
        )
    assert (exchanged["issued_token_type"], exchanged["token_type"]) == (ACCESS_TOKEN, "DPoP")
    claims = api.verified(exchanged["access_token"], "example:ward")
    assert claims["cnf"] == {"jkt": api.proof_key.thumbprint()}
    assert claims["sub"] == authlib.identity(token)["sub"]
    assert claims["act"]


def test_authlib_alone_is_a_legacy_client(backstage: Backstage):
    """Authlib with nothing added logs in from the address, and asks userinfo with its Bearer token."""
    client = WithLogin(backstage, profile="legacy")
    with client.session as session:
        back = ForeignBrowser().open(client.asked(f"openid profile {WARD_LIST}"), REDIRECT_URI)
        client.authenticate(client.metadata["token_endpoint"])
        token = session.fetch_token(
            client.metadata["token_endpoint"],
            authorization_response=back,
            state=client.state,
            code_verifier=client.verifier,
        )
        assert token["token_type"] == "Bearer"
        user = session.get(client.metadata["userinfo_endpoint"]).json()
    assert user["sub"] == client.identity(token)["sub"]
