"""The guard of our own resource endpoints: who may read what we hold (RFC 6750, RFC 9449 §7).

The same list of steps for each of them. The proof is spent when all steps have passed; that is the only
thing a reading request changes.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

from tillit.protocol.access_token import AccessToken
from tillit.protocol.challenge import make_challenge
from tillit.protocol.dpop import Proof, check_proof
from tillit.protocol.errors import OAuthError, Rejected, invalid_request
from tillit.protocol.jose import ALGORITHMS
from tillit.verifier.presented import BadCredentials, Presented, read_headers
from tillit_server.issuer.answers import Answer
from tillit_server.issuer.own_tokens import OwnToken, require_live, verify_access_token
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services
from tillit_server.issuer.settling import proof_id
from tillit_server.issuer.steps import Facts, refused, run
from tillit_server.storage.ports import Conflict, Settlement

INVALID_TOKEN = "invalid_token"  # noqa: S105 (an error code, RFC 6750 §3.1)
INVALID_PROOF = "invalid_dpop_proof"
BEARER, DPOP = "Bearer", "DPoP"
_BODY_PARAMETER = "access_token"


class Access(Facts):
    """What is known about a request for a protected resource; each fact is set by the step of its name."""

    request: Request
    services: Services
    now: float
    needed_scope: str
    presented_token: Presented
    own_token: OwnToken
    bound_proof: Proof | None
    granted_scope: tuple[str, ...]

    def __init__(self, request: Request, services: Services, needed_scope: str) -> None:
        self.request = request
        self.services = services
        self.now = services.clock()
        self.needed_scope = needed_scope


def presented_token(known: Access) -> Presented:
    """One token, in one place: the header, or for Bearer tokens the form of a POST (RFC 6750 §2)."""
    request = known.request
    in_body = request.form.get(_BODY_PARAMETER)
    if request.authorization is None:
        if in_body is None:
            raise challenged(None, "", detail="no credentials")
        return Presented(BEARER.lower(), in_body, request.dpop)
    if in_body is not None:
        raise invalid_request("the access token is presented twice", pointer=_BODY_PARAMETER)
    pairs = [("Authorization", request.authorization), *(("DPoP", proof) for proof in request.dpop)]
    try:
        presented = read_headers(pairs)
    except BadCredentials as error:
        raise challenged(INVALID_TOKEN, "Authorization: one scheme and one token needed") from error
    if presented.scheme not in {BEARER.lower(), DPOP.lower()}:
        raise challenged(INVALID_TOKEN, "Authorization: scheme DPoP or Bearer needed")
    return presented


def own_token(known: Access) -> OwnToken:
    """An access token of ours, good now, and bound to a key exactly if it is shown as bound to one."""
    presented = known.presented_token
    by_key = presented.scheme == DPOP.lower()
    try:
        access = verify_access_token(presented.unverified_token, known.services, known.now)
        _require_shown_as_it_is(access, by_key=by_key)
        return require_live(access, known.services)
    except Rejected as rejected:
        raise challenged(
            INVALID_TOKEN,
            "the access token is not valid here",
            scheme=BEARER if not by_key and rejected.pointer != "payload.cnf" else DPOP,
            detail=str(rejected),
        ) from rejected


def _require_shown_as_it_is(access: AccessToken, *, by_key: bool) -> None:
    if by_key != (access.jkt is not None):
        raise Rejected("not bound to a key" if by_key else "bound to a key, shown as Bearer", "payload.cnf")


def bound_proof(known: Access) -> Proof | None:
    """The proof of the key that the token is bound to, for this request and this token (RFC 9449 §7.1)."""
    token, request = known.own_token, known.request
    if token.access.jkt is None:
        return None
    try:
        return check_proof(
            request.dpop,
            method=request.method,
            url=request.endpoint,
            now=known.now,
            algorithms=token.client.algorithms,
            access_token=known.presented_token.unverified_token,
            expected_jkt=token.access.jkt,
        )
    except OAuthError as error:
        raise challenged(INVALID_PROOF, error.description, detail=error.detail) from error


def granted_scope(known: Access) -> tuple[str, ...]:
    """``insufficient_scope`` (RFC 6750 §3.1)."""
    scopes = known.own_token.access.scope
    if known.needed_scope not in scopes:
        raise challenged(
            "insufficient_scope",
            f"scope: {known.needed_scope} needed",
            status=HTTPStatus.FORBIDDEN,
            scheme=DPOP if known.bound_proof else BEARER,
            scope=known.needed_scope,
        )
    return scopes


PROTECTED_STEPS = (presented_token, own_token, bound_proof, granted_scope)


def answer_protected(
    request: Request,
    services: Services,
    *,
    scope: str,
    make: Callable[[Access], Answer],
    steps: Sequence[Callable[[Any], object]] = PROTECTED_STEPS,
) -> Answer:
    """What ``make`` answers to ``request``, if its token allows ``scope`` and its proof is good and new.

    Raises ``Refused`` (401 or 403 with ``WWW-Authenticate``; 400), ``StorageUnavailable``, and what ``make``
    raises; nothing is spent then.
    """
    known = run(steps, Access(request, services, scope))
    answer = make(known)
    proof = known.bound_proof
    if proof is not None:
        try:
            services.store.settle(Settlement(claims=(proof_id(proof),)))
        except Conflict as conflict:
            raise refused("settle", used_proof(), known) from conflict
    return answer


def used_proof() -> OAuthError:
    """``invalid_dpop_proof``: shown before (RFC 9449 §11.1)."""
    return challenged(INVALID_PROOF, "payload.jti: the proof was used before")


def challenged(
    code: str | None,
    description: str,
    *,
    status: int = HTTPStatus.UNAUTHORIZED,
    scheme: str = DPOP,
    detail: str = "",
    **attributes: str,
) -> OAuthError:
    """A refusal that says how to ask rightly (RFC 6750 §3.1); without ``code``, no credentials came."""
    algs = {} if scheme == BEARER else {"algs": " ".join(ALGORITHMS)}
    challenge = make_challenge(scheme, code, description or None, **attributes, **algs)
    if code is None:
        challenge = f"{challenge}, {BEARER}"
    return OAuthError(
        code or INVALID_TOKEN,
        description or "an access token is needed",
        status=int(status),
        detail=detail,
        headers=(("WWW-Authenticate", challenge),),
    )
