"""Authorization responses (RFC 6749 section 4.1.2) with the issuer in them (RFC 9207), both ends."""

import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from tillit.protocol.errors import OAuthError, Rejected

MAX_CODE_LENGTH: Final = 2048

# RFC 6749 appendix A: VSCHAR for a code; error codes without quotation mark and backslash
_CODE: Final = re.compile(rf"[\x20-\x7e]{{1,{MAX_CODE_LENGTH}}}")
_ERROR: Final = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]{1,100}")
_ADDRESS: Final = re.compile(r"[\x21\x22\x24-\x7e]+")
_OURS: Final = frozenset({"code", "state", "iss", "error", "error_description"})


def response_parameters(
    *, issuer: str, state: str | None, code: str | None = None, error: OAuthError | None = None
) -> dict[str, str]:
    """Give the parameters of an answer: a code or an error, the ``state`` as it came, and ``iss``.

    Raises ValueError unless there is exactly one of code and error.
    """
    if (code is None) == (error is None):
        raise ValueError("an authorization response holds a code or an error")
    parameters = {"code": code} if code is not None else {}
    if error is not None:
        parameters |= error.body()
    if state is not None:
        parameters["state"] = state
    return {**parameters, "iss": issuer}


def redirect_location(redirect_uri: str, parameters: Mapping[str, str]) -> str:
    """Give the address that carries an answer in its query; what the registered URI holds is kept.

    Blanks become ``%20``, which clients read right whether or not they know ``+``. Raises ValueError for an
    address with a fragment (RFC 6749 section 3.1.2) or with characters that no header may hold.
    """
    if _ADDRESS.fullmatch(redirect_uri) is None:
        raise ValueError("not a redirect URI: a fragment, or characters outside printable ASCII")
    separator = "&" if "?" in redirect_uri else "?"
    start = redirect_uri if redirect_uri.endswith(("?", "&")) else redirect_uri + separator
    return start + urlencode(parameters, safe="", quote_via=quote)


def check_authorization_response(
    parameters: Mapping[str, str] | Iterable[tuple[str, str]], *, issuer: str, state: str | None
) -> str:
    """Check an answer as a client and give its code (RFC 6749 section 4.1.2, RFC 9207 section 2.4).

    ``parameters`` are a mapping or, so that repetitions can be seen, pairs. ``iss`` must be there and be
    the issuer the request went to, and ``state`` the one it carried (RFC 9700 section 4.4). Only then is
    the answer believed: raises OAuthError when it is an error, Rejected when it is not an answer to us.
    """
    answer = _once(parameters)
    if answer.get("iss") != issuer:
        raise Rejected("not from our issuer" if "iss" in answer else "missing", "iss", expected=issuer)
    if not _same(answer.get("state"), state):
        raise Rejected("not the state of this login" if "state" in answer else "missing", "state")
    code, error = answer.get("code"), answer.get("error")
    if error is not None:
        if code is not None or _ERROR.fullmatch(error) is None:
            raise Rejected("not an error response", "error")
        raise OAuthError(error, answer.get("error_description", ""))
    if code is None:
        raise Rejected("missing", "code")
    if _CODE.fullmatch(code) is None:
        raise Rejected("not an authorization code", "code")
    return code


def _once(parameters: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    answer: dict[str, str] = {}
    for name, value in parameters.items() if isinstance(parameters, Mapping) else parameters:
        if name in _OURS:
            if name in answer:
                raise Rejected("occurs twice", name)
            if type(value) is not str:
                raise Rejected("not a string", name)
            answer[name] = value
    return answer


def _same(found: str | None, expected: str | None) -> bool:
    if found is None or expected is None:
        return found is expected
    return hmac.compare_digest(
        found.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )
