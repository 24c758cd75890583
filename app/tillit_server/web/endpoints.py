"""The endpoints that programs ask beside the token endpoint: about a person, about a token, about us."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from flask import Response, request

from tillit.protocol.introspection import MEDIA_TYPE
from tillit.protocol.metadata import EXPIRED_JWKS_PATH, JWKS_PATH, SOURCE_HEADER
from tillit_server.issuer.introspection import SignedAnswer, introspect
from tillit_server.issuer.request import Request
from tillit_server.issuer.revocation import revoke
from tillit_server.issuer.services import Services
from tillit_server.issuer.userinfo import userinfo
from tillit_server.web.answering import JSON, Route, publish, respond
from tillit_server.web.translate import FORM, form_request
from tillit_server.web.urls import INTROSPECTION_PATH, REVOCATION_PATH, USERINFO_PATH

_EMPTY_FORM: Final = {"CONTENT_TYPE": FORM, "CONTENT_LENGTH": "0"}


@dataclass(frozen=True, slots=True)
class EndpointsDoor:
    """``published``: documents that anybody may read, by path; ``max_age``: for how long, in seconds."""

    services: Services
    published: Mapping[str, Mapping[str, Any]]
    max_age: int

    def routes(self) -> tuple[Route, ...]:
        """Method, path below the issuer's, and view."""
        return (
            ("GET", USERINFO_PATH, self.userinfo),
            ("POST", USERINFO_PATH, self.userinfo),
            ("POST", INTROSPECTION_PATH, self.introspection),
            ("POST", REVOCATION_PATH, self.revocation),
            ("GET", JWKS_PATH, self.jwks),
            ("GET", EXPIRED_JWKS_PATH, self.expired_jwks),
            *(("GET", path, self._publishing(document)) for path, document in self.published.items()),
        )

    def userinfo(self) -> Response:
        """OpenID Connect Core §5.3."""
        return respond(userinfo(resource_request(request.environ, self._url(USERINFO_PATH)), self.services))

    def introspection(self) -> Response:
        """RFC 7662; a JWT for who asks for one by ``Accept`` (RFC 9701 §4)."""
        sent = form_request(request.environ, self._url(INTROSPECTION_PATH))
        answer = introspect(sent, self.services, signed=_wants_jwt())
        if isinstance(answer, SignedAnswer):
            return Response(answer.token, headers=list(answer.headers), content_type=MEDIA_TYPE)
        return respond(answer)

    def revocation(self) -> Response:
        """RFC 7009."""
        return respond(revoke(form_request(request.environ, self._url(REVOCATION_PATH)), self.services))

    def jwks(self) -> Response:
        """The key set (RFC 7517 §5), whatever the store does; a source that names itself is counted."""
        signer, now = self.services.signer, self.services.clock()
        document = signer.jwks(now)
        if request.method == "GET":  # and not HEAD, which gives no key to anybody
            kids = (key["kid"] for key in document["keys"])
            self.services.key_sources.saw(request.headers.get(SOURCE_HEADER), kids, now)
        headers = {**signer.jwks_headers, "Access-Control-Allow-Origin": "*"}
        return Response(orjson.dumps(document), headers=headers, mimetype=JSON)

    def expired_jwks(self) -> Response:
        """The keys that are published no longer."""
        return publish(self.services.signer.expired_jwks(self.services.clock()), self.max_age)

    def _publishing(self, document: Mapping[str, Any]) -> Callable[[], Response]:
        return lambda: publish(document, self.max_age)

    def _url(self, path: str) -> str:
        return self.services.url(path)


def _wants_jwt() -> bool:
    return request.accept_mimetypes.best_match([JSON, MEDIA_TYPE], JSON) == MEDIA_TYPE


def resource_request(environ: Mapping[str, Any], endpoint: str) -> Request:
    """A request for a resource of ours: credentials in headers, or in the form of a POST, never in the URL.

    Raises ``OAuthError`` ``invalid_request``.
    """
    method = environ["REQUEST_METHOD"]
    empty = method != "POST" or environ.get("CONTENT_LENGTH", "") in {"", "0"}
    sent = form_request({**environ, **(_EMPTY_FORM if empty else {})}, endpoint)
    return replace(sent, method=method)
