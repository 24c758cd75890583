"""Where the issuer's endpoints are, asked of the issuer itself and kept as long as its answer allows."""

from collections.abc import Callable, Mapping
from typing import Any

from tillit.client.errors import BadAnswer, Unreachable
from tillit.outbound.documents import fetch_metadata
from tillit.outbound.published import Published, Unavailable
from tillit.outbound.transport import Send, TransportError, require_safe_url


class Discovery:
    """The metadata of one issuer (OpenID Connect Discovery §4), whose `issuer` equals ours to the letter.

    Kept for the max-age of the answer (30 s to a day); when a refresh fails the last good copy serves for a
    day.
    """

    def __init__(self, issuer: str, *, send: Send, clock: Callable[[], float]) -> None:
        self._metadata: Published[Mapping[str, Any]] = Published(
            lambda: fetch_metadata(send, issuer), clock=clock
        )

    def metadata(self) -> Mapping[str, Any]:
        """Give the metadata document. Raises `Unreachable`."""
        try:
            return self._metadata.get()
        except Unavailable as error:
            raise Unreachable("metadata_unavailable", str(error), retry_after=error.retry_after) from error

    def token_endpoint(self) -> str:
        """Give the token endpoint. Raises `Unreachable`, or `BadAnswer` when none is safe to use."""
        return self.endpoint("token_endpoint")

    def endpoint(self, name: str) -> str:
        """Give an endpoint by its name in the metadata. Raises `Unreachable` or `BadAnswer`."""
        endpoint = self.metadata().get(name)
        try:
            return require_safe_url(endpoint if isinstance(endpoint, str) else "")
        except TransportError as error:
            missing = BadAnswer.NO_TOKEN_ENDPOINT if name == "token_endpoint" else BadAnswer.NO_ENDPOINT
            raise BadAnswer(missing, f"{name}: {error}") from error
