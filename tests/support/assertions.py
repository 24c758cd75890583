"""Client assertions made by hand, checked and refused the way the token endpoint does."""

from typing import Any

import pytest

from support.tokens import CLIENT, ISSUER, NOW, TOKEN_ENDPOINT, assertion_claims, compact, key_for
from tillit.protocol.client_assertion import STRICT, AssertionProfile, check_assertion, read_assertion
from tillit.protocol.errors import OAuthError

KEY = key_for("ES256")
KEYS = [KEY.public]
ALL_TOLERANCES = AssertionProfile(
    one_element_audience=True,
    trailing_slash_audience=True,
    token_endpoint_audience=True,
    string_iat=True,
    long_lifetime=True,
    legacy_authorization_details=True,
)
BODY = {"error": "invalid_client", "error_description": "Client authentication failed."}


def assertion(header: dict[str, Any] | None = None, key: Any = KEY, **changes: Any) -> str:
    """Make a signed assertion by hand, with changes to header and claims."""
    head = {"typ": "client-authentication+jwt", "alg": key.alg, "kid": KEY.kid} | (header or {})
    return compact({n: v for n, v in head.items() if v is not ...}, assertion_claims(**changes), key)


def check(
    token: str, *, now: float = NOW, profile: AssertionProfile = STRICT, client_id: str = CLIENT
) -> Any:
    return check_assertion(
        read_assertion(token),
        keys=KEYS,
        client_id=client_id,
        issuer=ISSUER,
        now=now,
        profile=profile,
        token_endpoint=TOKEN_ENDPOINT,
    )


def refusal(token: str, **more: Any) -> OAuthError:
    """Give the refusal of an assertion, after a look at its status and its constant body."""
    with pytest.raises(OAuthError) as caught:
        check(token, **more)
    assert caught.value.status == 401
    assert caught.value.body() == BODY
    return caught.value
