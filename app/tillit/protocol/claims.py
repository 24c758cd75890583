"""Checks of registered claims that more than one kind of token needs (RFC 7519 section 4.1)."""

from collections.abc import Mapping
from typing import Any, Final

from tillit.protocol.errors import Rejected

MAX_AHEAD: Final = 10
"""Seconds an ``iat`` or ``nbf`` may lie ahead of our clock (FAPI 2.0 section 5.3.2.1 note)."""
_LATEST: Final = 253_402_300_799  # the year 9999, beyond which no clock we talk to can be meant


def text(claims: Mapping[str, Any], name: str, *, max_length: int) -> str:
    """Give a string claim of 1 to ``max_length`` characters."""
    value = claims.get(name)
    if type(value) is not str or not 0 < len(value) <= max_length:
        raise Rejected(
            "not a string of the allowed length" if name in claims else "missing",
            f"payload.{name}",
            expected=f"1 to {max_length} characters",
        )
    return value


def optional_text(claims: Mapping[str, Any], name: str, *, max_length: int) -> str | None:
    """Give a string claim, or None when the claim is absent."""
    return text(claims, name, max_length=max_length) if name in claims else None


def instant(claims: Mapping[str, Any], name: str) -> int | None:
    """Give a NumericDate claim in whole Unix seconds, or None when absent (RFC 7519 section 2).

    Strings, booleans, fractions, negative numbers and years after 9999 are refused.
    """
    if name not in claims:
        return None
    value = claims[name]
    if type(value) is not int or not 0 <= value <= _LATEST:
        raise Rejected("not a whole number of seconds", f"payload.{name}", found=value)
    return value


def required_instant(claims: Mapping[str, Any], name: str) -> int:
    """Give a NumericDate claim that must be there."""
    value = instant(claims, name)
    if value is None:
        raise Rejected("missing", f"payload.{name}")
    return value


def require_begun(claims: Mapping[str, Any], name: str, now: float, *, ahead: int = MAX_AHEAD) -> int | None:
    """Refuse an ``iat`` or ``nbf`` that lies more than ``ahead`` seconds in the future."""
    value = instant(claims, name)
    if value is not None and value > now + ahead:
        raise Rejected(
            "in the future",
            f"payload.{name}",
            expected=f"at most {ahead} s ahead",
            clock_difference=value - now,
        )
    return value


def require_unexpired(claims: Mapping[str, Any], now: float, *, leeway: int) -> int:
    """Refuse a token ``leeway`` seconds after its ``exp``; the instant itself is still accepted."""
    expires = required_instant(claims, "exp")
    if now > expires + leeway:
        issued = claims.get("iat")
        known = issued if type(issued) is int else expires
        raise Rejected(
            "expired",
            "payload.exp",
            expected=f"at most {leeway} s ago",
            clock_difference=known - now,
        )
    return expires


def with_numeric_iat(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the claims with an ``iat`` written as digits in a string turned into a number, if it is one."""
    written = claims.get("iat")
    if type(written) is not str or not written.isascii() or not written.isdigit():
        return claims
    if len(written) > len(str(_LATEST)):
        raise Rejected("not a whole number of seconds", "payload.iat")
    return {**claims, "iat": int(written)}
