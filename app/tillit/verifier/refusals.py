"""What a document source answers when it refuses: one exception, ready to send."""

import json
from collections.abc import Iterable
from http import HTTPStatus

from tillit.protocol.challenge import make_challenge
from tillit.protocol.errors import OAuthError, Rejected

INVALID_TOKEN = "invalid_token"  # noqa: S105, an error code (RFC 6750 §3.1)
INVALID_DPOP_PROOF = "invalid_dpop_proof"
INSUFFICIENT_SCOPE = "insufficient_scope"
INSUFFICIENT_AUTHORIZATION_DETAILS = "insufficient_authorization_details"
INSUFFICIENT_USER_AUTHENTICATION = "insufficient_user_authentication"
ACCESS_DENIED = "access_denied"
TEMPORARILY_UNAVAILABLE = "temporarily_unavailable"


class Refused(Exception):
    """The request is not let through. `status`, `headers` and `body` are the answer, ready to send.

    `error` is the code in the body, one of the constants of this module. `rule` is the rule of the trust
    framework that refused, if one did. `detail` is for the log and never goes out; it holds no person's
    number.
    """

    def __init__(
        self,
        status: int,
        error: str,
        description: str = "",
        *,
        detail: str = "",
        rule: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"{status} {error}: {detail or description}")
        # OAuthError keeps the description inside the characters that RFC 6749 allows.
        clean = OAuthError(error, description).description
        body = {"error": error, "error_description": clean} if clean else {"error": error}
        self.status = int(status)
        self.error = error
        self.description = clean
        self.detail = detail or description
        self.rule = rule
        self.body = json.dumps(body).encode()
        self.headers = (
            ("Content-Type", "application/json"),
            ("Cache-Control", "no-store"),
            *headers,
        )


class Refusals:
    """Makes the refusals of one verifier, which all name the proof algorithms it takes (RFC 9449 §7.1)."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._algs = " ".join(algorithms)

    def no_credentials(self) -> Refused:
        """401 for a request without an access token: the challenge has no error code (RFC 6750 §3.1)."""
        challenge = ("WWW-Authenticate", make_challenge("DPoP", None, None, algs=self._algs))
        return Refused(
            HTTPStatus.UNAUTHORIZED, INVALID_TOKEN, "a DPoP-bound access token is needed", headers=[challenge]
        )

    def invalid_token(self, description: str, *, detail: str = "", rule: str | None = None) -> Refused:
        """401: the token is not good, or no longer."""
        return self._challenge(HTTPStatus.UNAUTHORIZED, INVALID_TOKEN, description, detail=detail, rule=rule)

    def bad_token(self, rejected: Rejected) -> Refused:
        """401 for an access token that was rejected: which check failed is for the log."""
        detail = f"access token: {rejected}"
        if rejected.clock_difference is not None:
            detail += f" (their clock minus ours: {rejected.clock_difference:+.0f} s)"
        return self.invalid_token("the access token is not valid here", detail=detail)

    def bad_proof(self, error: OAuthError) -> Refused:
        """401 for a DPoP proof that was refused (RFC 9449 §7.1: at an API the status is 401, not 400)."""
        return self._challenge(
            HTTPStatus.UNAUTHORIZED,
            INVALID_DPOP_PROOF,
            error.description,
            detail=error.detail,
            headers=error.headers,
        )

    def replayed_proof(self) -> Refused:
        """401 for a proof that was used before (RFC 9449 §11.1)."""
        return self._challenge(
            HTTPStatus.UNAUTHORIZED, INVALID_DPOP_PROOF, "the DPoP proof was already used", detail="replay"
        )

    def insufficient_scope(self, needed: Iterable[str]) -> Refused:
        """403 naming the scope that is needed (RFC 6750 §3.1)."""
        scope = " ".join(needed)
        return self._challenge(
            HTTPStatus.FORBIDDEN,
            INSUFFICIENT_SCOPE,
            "the token lacks a scope that is needed here",
            scope=scope,
        )

    def attestation_missing(self) -> Refused:
        """403: the API demands an attestation and the token carries none."""
        return self._challenge(
            HTTPStatus.FORBIDDEN,
            INSUFFICIENT_AUTHORIZATION_DETAILS,
            "ATT-REQUIRED: attestation: an attested access context is needed",
            rule="ATT-REQUIRED",
        )

    def login_too_weak(self, description: str, rule: str) -> Refused:
        """401: the practitioner must log in at a higher level (RFC 9470 §3)."""
        return self._challenge(
            HTTPStatus.UNAUTHORIZED,
            INSUFFICIENT_USER_AUTHENTICATION,
            description,
            rule=rule,
            acr_values="Level4",
        )

    def denied(self, description: str, *, rule: str | None = None, detail: str = "") -> Refused:
        """403 with a reason: a fact about the practitioner or the purpose forbids."""
        return self._challenge(HTTPStatus.FORBIDDEN, ACCESS_DENIED, description, rule=rule, detail=detail)

    def not_permitted(self, detail: str, rule: str | None = None) -> Refused:
        """403 without a reason. Use it for every refusal that concerns a patient.

        Wrong patient, blocked patient and unknown patient must be the same bytes: a difference would tell a
        stranger that a block exists (ATT-5).
        """
        return self._challenge(HTTPStatus.FORBIDDEN, ACCESS_DENIED, "", detail=detail, rule=rule)

    def unavailable(self, detail: str, retry_after: int) -> Refused:
        """503: keys or replay memory cannot be asked. Never let through what could not be checked."""
        return Refused(
            HTTPStatus.SERVICE_UNAVAILABLE,
            TEMPORARILY_UNAVAILABLE,
            "the token cannot be checked now",
            detail=detail,
            headers=[("Retry-After", str(retry_after))],
        )

    def _challenge(
        self,
        status: int,
        error: str,
        description: str,
        *,
        detail: str = "",
        rule: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        **attributes: str,
    ) -> Refused:
        challenge = make_challenge("DPoP", error, description or None, **attributes, algs=self._algs)
        return Refused(
            status,
            error,
            description,
            detail=detail,
            rule=rule,
            headers=[("WWW-Authenticate", challenge), *headers],
        )
