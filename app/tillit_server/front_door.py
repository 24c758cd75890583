"""The front door of an installation: where people log in, and the application that answers.

It stands apart from the wiring, because commands need an installation and never a web framework.
"""

import time
from typing import TYPE_CHECKING

from tillit_server.issuer.discovery import describe
from tillit_server.issuer.explain import ExplainLimit
from tillit_server.issuer.limiting import Addresses
from tillit_server.issuer.login.idps import IdpRegistry, load_idps
from tillit_server.web.routes import Doors, make_app
from tillit_server.web.test_provider.provider import (
    DevelopmentProvider,
    idp_of_test_provider,
    read_practitioners,
)
from tillit_server.web.urls import CALLBACK_PATH
from tillit_server.wiring import Installation

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def public_app(installation: Installation) -> "WSGIApplication":
    """Everything that answers on the public port. Raises ``IdpError``."""
    settings, services = installation.settings, installation.services
    idps, test_provider = identity_providers(installation)
    return make_app(
        services,
        Doors(
            path=settings.path,
            metadata=describe(settings.issuer, services.apis, settings.algorithms),
            max_age=settings.jwks_max_age,
            addresses=Addresses(settings.trusted_proxies),
            explain_limit=ExplainLimit(settings.explain_per_minute, time.monotonic),
            idps=idps,
            test_provider=test_provider,
            monotonic=time.monotonic,
        ),
    )


def identity_providers(installation: Installation) -> tuple[IdpRegistry, DevelopmentProvider | None]:
    """The configured providers; in development mode the test provider too, which this service is itself.

    Raises ``IdpError``.
    """
    settings, services = installation.settings, installation.services
    keys = settings.data / "idps"
    configured = load_idps(settings.config / "idps", development_keys=keys if settings.dev else None)
    if not settings.dev:
        return IdpRegistry(*configured), None
    idp = idp_of_test_provider(settings.own_address, keys)
    provider = DevelopmentProvider(
        idp,
        keys=keys,
        callback=settings.url(CALLBACK_PATH),
        practitioners=read_practitioners(settings.config / "registers"),
        store=services.store,
        clock=services.clock,
    )
    return IdpRegistry(*configured, idp), provider
