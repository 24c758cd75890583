"""What leaves this process: bounded HTTP, and the published documents of others kept fresh.

Shared by `tillit.verifier` and `tillit.client`, which do not know each other.
It knows nothing of tokens or attestations, and loads its HTTP library only when the first request is sent.
"""

from tillit.outbound.published import Fetched, Published, Unavailable
from tillit.outbound.transport import (
    Outbound,
    Request,
    Response,
    Send,
    TransportError,
    require_safe_url,
    sender,
)

__all__ = [
    "Fetched",
    "Outbound",
    "Published",
    "Request",
    "Response",
    "Send",
    "TransportError",
    "Unavailable",
    "require_safe_url",
    "sender",
]
