"""Challenges in ``WWW-Authenticate`` (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9449 section 7.1)."""

import re
from dataclasses import dataclass
from typing import Final

from tillit.protocol.errors import Rejected

MAX_LENGTH: Final = 4096

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110 section 5.6.2
_NAME: Final = re.compile(_WORD)
_QUOTED: Final = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\x09\x20-\x7e])*"'
_PARAMETER: Final = re.compile(rf"({_WORD})[ \t]*=[ \t]*({_WORD}|{_QUOTED})")
_SCHEME: Final = re.compile(rf"({_WORD})(?:[ ]+|$)")
_SEPARATOR: Final = re.compile(r"[ \t]*(?:,[ \t]*)+|[ \t]*$")
# A quoted attribute of RFC 6750 section 3 holds no quotation mark and no backslash.
_PLAIN: Final = str.maketrans({'"': "'", "\\": "/"})


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge: its scheme as written and its attributes, names in lower case."""

    scheme: str
    attributes: dict[str, str]

    @property
    def error(self) -> str | None:
        """The OAuth error code, if the challenge names one."""
        return self.attributes.get("error")


def make_challenge(
    scheme: str, error: str | None = None, description: str | None = None, **attributes: str
) -> str:
    """Write one challenge; attribute order is error, error_description, then as given.

    Characters a header may not hold are replaced, so that what goes in comes out as one challenge.
    """
    given = {"error": error, "error_description": description, **attributes}
    parts = []
    for name, value in given.items():
        if value is not None:
            if _NAME.fullmatch(name) is None:
                raise ValueError(f"not an attribute name: {name}")
            parts.append(f'{name}="{_quotable(value)}"')
    return f"{scheme} {', '.join(parts)}" if parts else scheme


def parse_challenge(header: str) -> tuple[Challenge, ...]:
    """Read the challenges of a ``WWW-Authenticate`` header. Raises Rejected when it is malformed.

    ``token68`` credentials (RFC 9110 section 11.2) occur in no OAuth challenge and are refused.
    """
    if len(header) > MAX_LENGTH:
        raise Rejected("challenge too long", "WWW-Authenticate", expected=f"at most {MAX_LENGTH} characters")
    challenges: list[Challenge] = []
    at = 0
    header = header.strip(" \t")
    while at < len(header):
        parameter = _PARAMETER.match(header, at)
        if parameter is not None and challenges:
            name, value = parameter.group(1).lower(), parameter.group(2)
            if name in challenges[-1].attributes:
                raise Rejected("attribute occurs twice", "WWW-Authenticate")
            challenges[-1].attributes[name] = _unquoted(value)
            at = parameter.end()
        else:
            scheme = _SCHEME.match(header, at)
            if scheme is None:
                # a scheme without attributes, followed by another challenge
                scheme = _NAME.match(header, at)
                if scheme is None:
                    raise Rejected("malformed challenge", "WWW-Authenticate")
            challenges.append(Challenge(scheme.group(0).rstrip(" "), {}))
            at = scheme.end()
            if _PARAMETER.match(header, at) is not None:
                continue
        separator = _SEPARATOR.match(header, at)
        if separator is None:
            raise Rejected("malformed challenge", "WWW-Authenticate")
        at = separator.end()
    return tuple(challenges)


def _quotable(value: str) -> str:
    text = value.translate(_PLAIN)
    return "".join(char if " " <= char <= "~" else "?" for char in text)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
