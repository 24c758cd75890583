"""The two refusals of the protocol room, and small constructors for the ones every endpoint needs."""

from typing import Final, Self

_DESCRIPTION: Final = str.maketrans(
    dict.fromkeys(range(0x20), "?") | {ord('"'): "'", ord("\\"): "/", 0x7F: "?"}
)
_FOUND_LENGTH: Final = 64
_PRINTABLE_NUMBER: Final = 10**18

CLIENT_AUTHENTICATION_FAILED: Final = "Client authentication failed."


def redacted(value: object) -> str:
    """Show what was found: at most 64 printable ASCII characters, everything else as ``?``.

    Callers decide *whether* a value may be shown at all; values that could identify a person never are.
    """
    text = value if isinstance(value, str) else repr(value) if _is_scalar(value) else type(value).__name__
    head = "".join(char if " " <= char <= "~" else "?" for char in text[:_FOUND_LENGTH])
    return head if len(text) <= _FOUND_LENGTH else head[: _FOUND_LENGTH - 3] + "..."


def _is_scalar(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and abs(value) < _PRINTABLE_NUMBER)


class Rejected(Exception):
    """A neutral refusal by gate, signature, key quality or claim check; the caller decides the OAuth code.

    ``reason`` is English and never holds input that could be personal. ``pointer`` names the member at
    fault (``header.alg``, ``payload.exp``; empty when the whole token is). ``found`` is redacted.
    ``clock_difference`` is in seconds, their clock minus ours, and only set when a time check failed.
    """

    def __init__(
        self,
        reason: str,
        pointer: str = "",
        *,
        expected: str | None = None,
        found: object = ...,
        clock_difference: float | None = None,
    ) -> None:
        """Keep the reason and, when ``found`` is given, a redacted form of it."""
        super().__init__(reason)
        self.reason = reason
        self.pointer = pointer
        self.expected = expected
        self.found: str | None = None if found is ... else redacted(found)
        self.clock_difference = clock_difference

    def __str__(self) -> str:
        return f"{self.pointer}: {self.reason}" if self.pointer else self.reason


class OAuthError(Exception):
    """An OAuth error answer (RFC 6749 section 5.2) with its private half.

    ``code``, ``description`` and ``status`` are what the other side sees; ``detail``, ``pointer``,
    ``expected``, ``found`` and ``clock_difference`` are for log and explain. ``rule`` is a rule prefix
    such as ``ATT-58``. ``headers`` go out with the answer.
    """

    def __init__(
        self,
        code: str,
        description: str,
        *,
        status: int = 400,
        detail: str = "",
        rule: str | None = None,
        pointer: str = "",
        expected: str | None = None,
        found: str | None = None,
        clock_difference: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Keep all members; characters that RFC 6749 forbids in a description are replaced."""
        super().__init__(code, description)
        self.code = code
        self.description = _allowed(description)
        self.status = status
        self.detail = detail
        self.rule = rule
        self.pointer = pointer
        self.expected = expected
        self.found = found
        self.clock_difference = clock_difference
        self.headers = headers

    def __str__(self) -> str:
        return f"{self.code}: {self.detail or self.description}"

    def body(self) -> dict[str, str]:
        """Give the JSON body: ``error`` and ``error_description`` and nothing else."""
        return {"error": self.code, "error_description": self.description}

    @classmethod
    def from_rejected(cls, code: str, rejected: Rejected, status: int = 400, prefix: str = "") -> Self:
        """Turn a neutral refusal into an OAuth error whose description names the member at fault."""
        return cls(
            code,
            f"{prefix}{rejected}",
            status=status,
            detail=f"{prefix}{rejected}",
            pointer=rejected.pointer,
            expected=rejected.expected,
            found=rejected.found,
            clock_difference=rejected.clock_difference,
        )


def _allowed(description: str) -> str:
    """Keep to %x20-21 / %x23-5B / %x5D-7E (RFC 6749 section 5.2)."""
    text = description.translate(_DESCRIPTION)
    return text if text.isascii() else text.encode("ascii", "replace").decode("ascii")


def invalid_client(
    detail: str,
    *,
    pointer: str = "",
    expected: str | None = None,
    found: str | None = None,
    clock_difference: float | None = None,
) -> OAuthError:
    """Refuse a client: 401 with the same body whatever the reason; the reason stays in ``detail``."""
    return OAuthError(
        "invalid_client",
        CLIENT_AUTHENTICATION_FAILED,
        status=401,
        detail=detail,
        pointer=pointer,
        expected=expected,
        found=found,
        clock_difference=clock_difference,
    )


def invalid_client_from(rejected: Rejected) -> OAuthError:
    """Refuse a client for a neutral reason, which only the log and explain will see."""
    return invalid_client(
        str(rejected),
        pointer=rejected.pointer,
        expected=rejected.expected,
        found=rejected.found,
        clock_difference=rejected.clock_difference,
    )


def invalid_dpop_proof(description: str, *, detail: str = "", pointer: str = "") -> OAuthError:
    """Refuse a DPoP proof (RFC 9449 section 5): 400; a resource server turns it into a 401 challenge."""
    return OAuthError("invalid_dpop_proof", description, detail=detail or description, pointer=pointer)


def use_dpop_nonce(nonce: str) -> OAuthError:
    """Ask for a proof with this nonce (RFC 9449 section 8); the only error that carries ``DPoP-Nonce``."""
    return OAuthError(
        "use_dpop_nonce",
        "The DPoP proof must carry the nonce of the DPoP-Nonce header.",
        pointer="payload.nonce",
        headers=(("DPoP-Nonce", nonce),),
    )


def invalid_request(description: str, *, detail: str = "", pointer: str = "") -> OAuthError:
    """Refuse a request that is malformed (RFC 6749 section 5.2)."""
    return OAuthError("invalid_request", description, detail=detail, pointer=pointer)


def invalid_grant(description: str, *, detail: str = "") -> OAuthError:
    """Refuse a code, refresh token or other grant (RFC 6749 section 5.2)."""
    return OAuthError("invalid_grant", description, detail=detail)


def invalid_scope(description: str, *, detail: str = "") -> OAuthError:
    """Refuse a scope that is unknown, malformed or not granted (RFC 6749 section 5.2)."""
    return OAuthError("invalid_scope", description, detail=detail, pointer="scope")


def invalid_authorization_details(rule: str, path: str, text: str) -> OAuthError:
    """Refuse authorization details (RFC 9396 section 5), in the form ``rule: path: what is wrong``."""
    return OAuthError(
        "invalid_authorization_details",
        f"{rule}: {path}: {text}",
        detail=f"{path}: {text}",
        rule=rule,
        pointer=path,
    )


def temporarily_unavailable(description: str, *, detail: str = "", retry_after: int = 2) -> OAuthError:
    """Answer 503 with ``Retry-After`` (seconds) when a store or register cannot be asked."""
    return OAuthError(
        "temporarily_unavailable",
        description,
        status=503,
        detail=detail,
        headers=(("Retry-After", str(retry_after)),),
    )
