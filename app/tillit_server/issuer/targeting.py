"""What the token is for: from the scopes asked for to one API (RFC 6749 §3.3, RFC 8707)."""

from tillit.protocol.errors import OAuthError, Rejected, invalid_scope
from tillit.protocol.scope import parse_scope
from tillit_server.issuer.apis import IDENTITY_SCOPES, Api, ApiRegistry
from tillit_server.issuer.grants.basis import Basis
from tillit_server.issuer.request import Request
from tillit_server.issuer.target import Target

OPENID = "openid"


def narrow_scope(
    request: Request, basis: Basis, apis: ApiRegistry, *, issuer: str, attests: bool = True
) -> Target:
    """The one API and the scopes that this token will hold.

    No ``scope`` means all that was granted; after a login, all but what needs an attestation where the
    request ``attests`` nothing, since that may come with a later one. A login without any API is one for
    ``issuer``, whose userinfo it may read. Raises ``OAuthError`` ``invalid_scope`` or ``invalid_target``.
    """
    asked = request.form.get("scope")
    wanted = _wanted(request, basis)
    # The client's own order is kept; without one, the order of the login or of the registry.
    scopes = _asked_for(asked) if asked is not None else _granted(basis, apis)
    if asked is None and not wanted and basis.own_login and not attests:
        scopes = tuple(scope for scope in scopes if not _needs_attestation(scope, apis))
    for scope in scopes:
        if not basis.user and scope in IDENTITY_SCOPES:
            raise invalid_scope(f"scope: {scope} needs a user who has logged in")
        if scope not in basis.scopes or not apis.knows(scope):
            raise invalid_scope("scope: a scope that is not granted to this client")
    candidates = [apis.by_scope[scope] for scope in scopes if scope in apis.by_scope]
    if not candidates and not wanted and OPENID in scopes:
        return Target(_own_api(issuer, apis), scopes)
    api = _one_api(candidates, wanted, basis.resources)
    return Target(api, tuple(s for s in scopes if s not in apis.by_scope or apis.by_scope[s] is api))


def _asked_for(text: str) -> tuple[str, ...]:
    try:
        return parse_scope(text)
    except Rejected as rejected:
        raise OAuthError.from_rejected("invalid_scope", rejected) from rejected


def _granted(basis: Basis, apis: ApiRegistry) -> tuple[str, ...]:
    if basis.authorized is None or basis.subject_token is not None:
        return tuple(scope for scope in apis.by_scope if scope in basis.scopes)
    return tuple(scope for scope in basis.authorized.scopes if scope in basis.scopes)


def _needs_attestation(scope: str, apis: ApiRegistry) -> bool:
    return scope in apis.by_scope and apis.by_scope[scope].attestation == "required"


def _wanted(request: Request, basis: Basis) -> frozenset[str]:
    """The audience named by this request; ``audience`` is the exchange's word for it (RFC 8693 §2.1)."""
    if basis.subject_token is not None and "audience" in request.form:
        return frozenset((*request.resources, request.form["audience"]))
    return frozenset(request.resources)


def _one_api(asked: list[Api], wanted: frozenset[str], authorized: tuple[str, ...]) -> Api:
    candidates = {api.audience: api for api in asked}
    if len(wanted) > 1:
        raise _invalid_target("resource: one per token")
    if authorized:
        if not wanted.issubset(authorized):
            raise _invalid_target("resource: not among those of the authorization request")
        wanted = wanted or frozenset(authorized)
    if wanted:
        candidates = {audience: api for audience, api in candidates.items() if audience in wanted}
        if not candidates:
            raise _invalid_target("resource: no granted scope belongs to it")
    if not candidates:
        raise invalid_scope("scope: at least one scope of an API needed")
    if len(candidates) > 1:
        raise _invalid_target("scope: the scopes belong to several APIs, name one by resource")
    return next(iter(candidates.values()))


def _own_api(issuer: str, apis: ApiRegistry) -> Api:
    return Api(issuer, (OPENID,), signing_algorithm=apis.apis[0].signing_algorithm)


def _invalid_target(description: str) -> OAuthError:
    return OAuthError("invalid_target", description, pointer="resource")
