"""What a request presents: its access token and its DPoP proofs, read so that duplicates show."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Header names and values. Pairs are better than a mapping: a mapping has already lost duplicates."""

_CREDENTIALS = re.compile(r"([A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]*) +([A-Za-z0-9._~+/-]+=*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Presented:
    """The credentials of one request. `proofs` holds every `DPoP` header, also when there are too many."""

    scheme: str
    unverified_token: str = field(repr=False)
    proofs: Sequence[str] = field(repr=False)


class NoCredentials(Exception):
    """There is no Authorization header at all."""


class BadCredentials(Exception):
    """The Authorization header cannot be read, or there is more than one. The text never quotes it."""


def read_headers(headers: Headers) -> Presented:
    """Find the credentials (RFC 9110 §11.4, RFC 9449 §7.1). Raises `NoCredentials` or `BadCredentials`.

    Only the Authorization header counts: a token in the query or in a form (RFC 6750 §2.2, §2.3) is not
    looked for.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    authorizations: list[str] = []
    proofs: list[str] = []
    for name, value in pairs:
        match name.lower():
            case "authorization":
                authorizations.append(value)
            case "dpop":
                proofs.append(value)
    if not authorizations:
        raise NoCredentials
    if len(authorizations) > 1:
        raise BadCredentials("more than one Authorization header")
    found = _CREDENTIALS.fullmatch(authorizations[0].strip(" \t"))
    if found is None:
        raise BadCredentials("the Authorization header is not one scheme and one token")
    return Presented(found[1].lower(), found[2], tuple(proofs))
