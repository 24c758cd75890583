"""WSGI (PEP 3333): a middleware, and the translation that the Flask adapter uses too."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tillit.verifier.access import Access
from tillit.verifier.refusals import Refused
from tillit.verifier.verifier import Verifier

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ACCESS = "tillit.access"
"""Where the application finds its `Access` in the environment."""

_PATH_SAFE = "/-._~!$&'()*+,;=:@"


def public_url(environ: "WSGIEnvironment", base_url: str) -> str:
    """Give the address a client must have signed: the configured base and the path as it was sent.

    `base_url` is scheme and authority, and never taken from `Host` or forwarded headers: who could choose it
    could pass on a proof that was made for another server.
    """
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if isinstance(raw, str) and raw:
        path = raw.split("?", 1)[0] if raw.startswith("/") else urlsplit(raw).path
    else:
        decoded = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        path = quote(decoded.encode("latin-1"), safe=_PATH_SAFE)
    return base_url.rstrip("/") + path


def credentials(environ: "WSGIEnvironment") -> list[tuple[str, str]]:
    """Give the two headers a verifier reads; servers join repeated ones by comma, which it refuses."""
    names = (("Authorization", "HTTP_AUTHORIZATION"), ("DPoP", "HTTP_DPOP"))
    return [(name, environ[key]) for name, key in names if key in environ]


def verify_environ(
    verifier: Verifier, environ: "WSGIEnvironment", base_url: str, patient: str | None = None
) -> Access:
    """Verify a WSGI request. Raises `Refused`."""
    return verifier.verify(
        environ["REQUEST_METHOD"], public_url(environ, base_url), credentials(environ), patient
    )


class VerifiedWSGI:
    """Puts a verified `Access` into ``environ["tillit.access"]``, or answers the refusal.

    Everything behind it is protected. `patient` finds the patient's number in the environment.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        verifier: Verifier,
        *,
        base_url: str,
        patient: "Callable[[WSGIEnvironment], str | None] | None" = None,
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._base_url = base_url
        self._patient = patient

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        try:
            environ[ACCESS] = verify_environ(
                self._verifier, environ, self._base_url, self._patient(environ) if self._patient else None
            )
        except Refused as refused:
            status = f"{refused.status} {HTTPStatus(refused.status).phrase}"
            start_response(status, [*refused.headers, ("Content-Length", str(len(refused.body)))])
            return [refused.body]
        return self._app(environ, start_response)
