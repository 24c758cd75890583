"""What an endpoint answers, and the one way a refusal becomes an answer, an entry and a line in the log."""

import logging
import secrets
from dataclasses import dataclass
from typing import Any

from tillit.protocol.errors import OAuthError
from tillit.quick import quick
from tillit_server.issuer.steps import Finding

_log = logging.getLogger("tillit.refusals")

ERROR_ID_HEADER = "Error-Id"
NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))


@quick
@dataclass(frozen=True, slots=True)
class Answer:
    """Status, JSON body and headers; the front door writes them out."""

    status: int
    body: Any
    headers: tuple[tuple[str, str], ...] = ()


def new_error_id() -> str:
    """An id that stands in the answer, in the log and in the audit, and means nothing by itself."""
    return secrets.token_hex(8)


def error_answer(error: OAuthError, error_id: str) -> Answer:
    """The answer for ``error``: named members only (RFC 6749 §5.2).

    ``invalid_client`` has the same body whatever the reason, so its id is in the header only.
    """
    body = error.body()
    if error.code != "invalid_client":
        body["error_id"] = error_id
    return Answer(error.status, body, (*error.headers, (ERROR_ID_HEADER, error_id), *NO_STORE))


def log_refusal(finding: Finding, error_id: str, client_id: str | None) -> None:
    """One line for operation: where, which rule, what was expected; never a person's number."""
    _log.info(
        "refused",
        extra={
            "event": {
                "error_id": error_id,
                "client_id": client_id,
                "step": finding.step,
                "code": finding.code,
                "rule": finding.rule,
                "pointer": finding.pointer or None,
                "expected": finding.expected,
                "found": finding.found,
                "clock_difference": finding.clock_difference,
                "detail": finding.detail or finding.description,
            }
        },
    )
