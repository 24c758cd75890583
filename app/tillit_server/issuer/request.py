"""A request as the endpoints see it: plain values, no HTTP objects.

The front door translates once (``web/translate.py``); nothing below it parses a form or a header again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tillit.quick import quick


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """A request to one endpoint, with a form or with a ``body`` of another kind.

    ``form``: each parameter once (RFC 6749 §3.2), ``resources`` the only one that may repeat (RFC 8707 §2).
    ``authorization``: that header as it came. ``dpop``: the raw ``DPoP`` headers. ``endpoint``: public URL it
    was sent to, from the settings.
    """

    endpoint: str
    form: Mapping[str, str]
    dpop: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    authorization: str | None = None
    method: str = field(default="POST")
    body: bytes = field(default=b"", repr=False)
