"""What the token is for: from the scopes asked for to one API (RFC 6749 §3.3, RFC 8707)."""

from tillit.protocol.errors import OAuthError, Rejected, invalid_scope
from tillit.protocol.scope import parse_scope
from tillit_server.issuer.apis import IDENTITY_SCOPES, Api, ApiRegistry
from tillit_server.issuer.grants.basis import Basis
from tillit_server.issuer.request import Request
from tillit_server.issuer.target import Target


def narrow_scope(request: Request, basis: Basis, apis: ApiRegistry) -> Target:
    """The one API and the scopes that this token will hold.

    No ``scope`` means every API scope of the client. Raises ``OAuthError`` ``invalid_scope`` or
    ``invalid_target``.
    """
    asked = request.form.get("scope")
    # The client's own order is kept; without one, the order of the registry.
    scopes = _asked_for(asked) if asked is not None else _all_api_scopes(basis, apis)
    for scope in scopes:
        if not basis.user and scope in IDENTITY_SCOPES:
            raise invalid_scope(f"scope: {scope} needs a user who has logged in")
        if scope not in basis.scopes or not apis.knows(scope):
            raise invalid_scope("scope: a scope that is not granted to this client")
    api = _one_api([apis.by_scope[scope] for scope in scopes if scope in apis.by_scope], request.resources)
    return Target(api, tuple(s for s in scopes if s not in apis.by_scope or apis.by_scope[s] is api))


def _asked_for(text: str) -> tuple[str, ...]:
    try:
        return parse_scope(text)
    except Rejected as rejected:
        raise OAuthError.from_rejected("invalid_scope", rejected) from rejected


def _all_api_scopes(basis: Basis, apis: ApiRegistry) -> tuple[str, ...]:
    return tuple(scope for scope in apis.by_scope if scope in basis.scopes)


def _one_api(asked: list[Api], resources: tuple[str, ...]) -> Api:
    candidates = {api.audience: api for api in asked}
    wanted = set(resources)
    if len(wanted) > 1:
        raise _invalid_target("resource: one per token")
    if wanted:
        candidates = {audience: api for audience, api in candidates.items() if audience in wanted}
        if not candidates:
            raise _invalid_target("resource: no granted scope belongs to it")
    if not candidates:
        raise invalid_scope("scope: at least one scope of an API needed")
    if len(candidates) > 1:
        raise _invalid_target("scope: the scopes belong to several APIs, name one by resource")
    return next(iter(candidates.values()))


def _invalid_target(description: str) -> OAuthError:
    return OAuthError("invalid_target", description, pointer="resource")
