"""How asking for access can fail. Four classes; branch on `code`, never on text."""

from collections.abc import Mapping, Sequence
from typing import Any

from tillit.attestation.findings import Violation


class ClientError(Exception):
    """Base of the four. `code` is a constant, `cause` holds facts by name; neither holds personal data."""

    def __init__(self, code: str, detail: str = "", **cause: Any) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.cause: Mapping[str, Any] = cause


class NotSent(ClientError):
    """Nothing left this machine. `code` is one of the constants.

    With `ATTESTATION_REFUSED`, `violations` says which rules refused and where in the attestation.
    """

    ATTESTATION_REFUSED = "attestation_refused"
    CONTEXT_CLOSED = "context_closed"
    INSECURE_URL = "insecure_url"
    ANOTHER_KEY = "another_key"
    """The login was begun with another proof key: processes that share logins must share the key."""
    ATTESTED_AT_LOGIN = "attested_at_login"
    """The login carries its attestation; a second one would be refused by the server."""
    NO_REFRESH_TOKEN = "no_refresh_token"  # noqa: S105, an error code
    """A new token is needed and the login gave nothing to get it with: ask for `offline_access`."""
    SESSION_ENDED = "session_ended"

    def __init__(self, code: str, detail: str = "", violations: Sequence[Violation] = ()) -> None:
        super().__init__(code, detail, violations=tuple(violations))
        self.violations = tuple(violations)


class Unreachable(ClientError):
    """No usable answer came. `code` is one of `tillit.outbound.TransportError`, such as `timed_out`."""


class BadAnswer(ClientError):
    """The server's answer breaks the protocol. `code` is one of the constants; the answer is not used."""

    NOT_JSON = "not_json"
    NO_ACCESS_TOKEN = "no_access_token"  # noqa: S105, an error code
    NOT_SENDER_CONSTRAINED = "not_sender_constrained"
    BAD_EXPIRES_IN = "bad_expires_in"
    BAD_SCOPE = "bad_scope"
    BAD_TOKEN = "bad_token"  # noqa: S105, an error code
    NO_TOKEN_ENDPOINT = "no_token_endpoint"  # noqa: S105, an error code
    NO_ENDPOINT = "no_endpoint"
    NO_REQUEST_URI = "no_request_uri"
    NOT_THIS_LOGIN = "not_this_login"
    """The callback is not an answer to the login that was begun: another state, or another issuer."""
    BAD_ID_TOKEN = "bad_id_token"  # noqa: S105, an error code
    ANOTHER_PERSON = "another_person"
    """Somebody else logged in than the person who is logged in here (ATT-9); what came was revoked."""
    NO_SUCH_KEY = "no_such_key"
    """The server lists the client's keys, and the one in use is not among them."""
    ANOTHER_SUBJECT = "another_subject"
    """Userinfo speaks of somebody else than the ID token."""


class ServerRefused(ClientError):
    """The server said no. `code` is its OAuth error, such as `invalid_authorization_details`.

    `description` is its explanation, which begins with the rule where a rule refused; `retry_after` is in
    seconds. `status` is 0 for a refusal that came through the browser, such as `access_denied`.
    """

    def __init__(self, code: str, description: str, status: int, retry_after: int | None = None) -> None:
        super().__init__(code, description, status=status, retry_after=retry_after)
        self.description = description
        self.status = status
        self.retry_after = retry_after
