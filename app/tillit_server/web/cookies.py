"""The two cookies of the service: the binding of a login to its browser, and the session."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from flask import Request, Response

# Random words of ours; what is not one is no cookie of ours.
_VALUE: Final = re.compile(r"[A-Za-z0-9_.~-]{16,128}")


@dataclass(frozen=True, slots=True)
class Cookies:
    """How the cookies of one issuer are called and sent.

    ``__Host-`` keeps other hosts and plain http from setting them (RFC 6265bis §4.1.3.2). Browsers demand
    ``Secure`` for it, so that development on http loopback has plain names.
    """

    binding: str
    session: str
    secure: bool

    def read(self, request: Request, name: str) -> str | None:
        """The value of a cookie of ours, or None for what cannot be one."""
        value = request.cookies.get(name)
        return value if value is not None and _VALUE.fullmatch(value) else None

    def write(self, response: Response, name: str, value: str) -> None:
        """Set a cookie that lives until the browser is closed; the store decides how long it is good."""
        response.set_cookie(name, value, path="/", secure=self.secure, httponly=True, samesite="Lax")

    def remove(self, response: Response, name: str) -> None:
        """Have the browser forget a cookie."""
        response.delete_cookie(name, path="/", secure=self.secure, httponly=True, samesite="Lax")


def cookies_of(issuer: str) -> Cookies:
    """The cookies of ``issuer``."""
    secure = urlsplit(issuer).scheme == "https"
    prefix = "__Host-" if secure else ""
    return Cookies(binding=f"{prefix}tillit-login", session=f"{prefix}tillit-session", secure=secure)
