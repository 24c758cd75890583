"""Whether traces are kept; the library for them is loaded only then."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tillit_server.config import Settings, SettingsError
from tillit_server.issuer.limiting import Addresses
from tillit_server.metrics import Meters

if TYPE_CHECKING:
    from tillit_server.serving.otlp import Traces

_NEEDED = "opentelemetry.exporter"


def wants_traces(settings: Settings) -> bool:
    """Whether the settings ask for traces, and the environment (``OTEL_SDK_DISABLED``) does not forbid them.

    Raises ``SettingsError`` where the library is missing.
    """
    if not settings.traces_url or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if find_spec("opentelemetry") is None or find_spec(_NEEDED) is None:
        raise SettingsError(['traces_url: the library is missing; pip install "tillit[server,otel]"'])
    return True


def open_traces(settings: Settings, meters: Meters) -> "Traces | None":
    """The traces of a worker, None where there are none. Raises as ``wants_traces``."""
    if not settings.traces_url or not wants_traces(settings):
        return None
    from tillit_server.serving.otlp import Traces

    return Traces(
        settings.traces_url,
        sampled=settings.traces_sampled,
        proxies=Addresses(settings.trusted_proxies) if settings.traces_from_proxy else None,
        count=meters.spans,
    )
