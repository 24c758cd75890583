"""Flask: one guard for an application's protected views."""

from flask import Flask, Response, request

from tillit.verifier.access import Access
from tillit.verifier.adapters.wsgi import verify_environ
from tillit.verifier.refusals import Refused
from tillit.verifier.verifier import Verifier


class FlaskGuard:
    """Verifies the present request, and answers refusals of the whole application.

        guard = FlaskGuard(verifier, base_url="https://documents.example")
        guard.init_app(app)

        @app.get("/patients/<number>/documents")
        def documents(number):
            access = guard.access(patient=number)

    `base_url` is the public scheme and authority of this API, from configuration. (A path with a person's
    number is shown for brevity; a real API keeps numbers out of addresses, which end up in logs.)
    """

    def __init__(self, verifier: Verifier, *, base_url: str) -> None:
        self._verifier = verifier
        self._base_url = base_url

    def init_app(self, app: Flask) -> None:
        """Make the application answer every `Refused` that a view lets through."""
        app.register_error_handler(Refused, self._answer)

    def access(self, patient: str | None = None) -> Access:
        """Verify the request at hand. Call it once: a second call would be a replay. Raises `Refused`."""
        return verify_environ(self._verifier, request.environ, self._base_url, patient)

    def _answer(self, refused: Refused) -> Response:
        return Response(refused.body, status=refused.status, headers=list(refused.headers))
