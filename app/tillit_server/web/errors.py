"""The one place where whatever went wrong becomes an answer, an entry and a line in the log."""

import logging
from http import HTTPStatus

from werkzeug.exceptions import HTTPException

from tillit.protocol.errors import OAuthError, temporarily_unavailable
from tillit_server.issuer.answers import NO_STORE, Answer, error_answer, new_error_id
from tillit_server.issuer.refusing import record_refusal
from tillit_server.issuer.services import Services
from tillit_server.issuer.steps import Refused, finding_of
from tillit_server.signing.keyring import NoSigningKey
from tillit_server.storage.ports import StorageUnavailable

_log = logging.getLogger("tillit.web")

SERVER_ERROR = "server_error"
CHALLENGE = "use_dpop_nonce"


def answer_error(error: Exception, services: Services) -> Answer:
    """The answer for ``error``; a refusal is recorded, a fault of ours is logged and never shown."""
    error_id = new_error_id()
    if isinstance(error, Refused):
        if error.error.code == CHALLENGE:
            # RFC 9449 §8: a challenge is neither a refusal nor an event
            return Answer(error.error.status, error.error.body(), (*error.error.headers, *NO_STORE))
        record_refusal(error.finding, error_id, services, error.known)
        return error_answer(error.error, error_id)
    if isinstance(error, OAuthError):
        record_refusal(finding_of("translate", error), error_id, services)
        return error_answer(error, error_id)
    if isinstance(error, StorageUnavailable | NoSigningKey):
        _log.error("unavailable", extra={"event": {"error_id": error_id, "reason": str(error)}})
        return error_answer(temporarily_unavailable("the service cannot answer now, try again"), error_id)
    if isinstance(error, HTTPException) and (status := error.code or 500) < HTTPStatus.INTERNAL_SERVER_ERROR:
        headers = tuple((k, v) for k, v in error.get_headers() if k in {"Allow", "Retry-After"})
        return error_answer(
            OAuthError("invalid_request", f"HTTP {status}: {error.name}", status=status, headers=headers),
            error_id,
        )
    _log.error("fault", exc_info=error, extra={"event": {"error_id": error_id}})
    return error_answer(OAuthError(SERVER_ERROR, "an error of ours, see the error id", status=500), error_id)
