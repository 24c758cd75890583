"""Authorization requests in the address of a browser, for clients of the legacy profile alone.

Nobody has authenticated: what goes wrong is counted and not written down one by one.
"""

from dataclasses import replace
from typing import Final

from tillit.protocol.authorization_request import MAX_STATE_LENGTH, RESPONSE_MODES
from tillit.protocol.authorization_response import response_parameters
from tillit.protocol.errors import OAuthError
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.login.authorization_steps import (
    AUTHORIZATION_STEPS,
    AuthorizationFacts,
    asked_of,
    tolerances_of,
)
from tillit_server.issuer.login.browser import Browser, SendBack
from tillit_server.issuer.login.ending import Login
from tillit_server.issuer.services import Services
from tillit_server.issuer.steps import NotYetKnown, Refused, run

FRONT_CHANNEL: Final = "front_channel"


class FrontChannelFacts(AuthorizationFacts):
    """What is known about a request that a browser brought; each fact is set by the step of its name."""

    def __init__(self, client: Client, browser: Browser, services: Services, now: float) -> None:
        self._client = client
        self.form = browser.parameters
        self.sent_resources = browser.resources
        self.services = services
        self.now = now

    @property
    def client(self) -> Client:
        """The client that the request names; only a signature or its code will show who it is."""
        return self._client


def read_front_channel(client: Client, browser: Browser, services: Services, now: float) -> Login | SendBack:
    """What ``client`` asks through the browser, or the way back with the reason why not.

    Raises ``Refused`` as long as no redirect URI is known to be the client's.
    """
    facts = FrontChannelFacts(client, browser, services, now)
    try:
        known = run(AUTHORIZATION_STEPS, facts)
    except Refused as refusal:
        answer = _sent_back(facts, refusal.error)
        if answer is None:
            raise
        services.refusals.count(refusal.finding.step, refusal.finding.code)
        return answer
    lasting = services.lifetimes.interaction
    return Login(
        client,
        asked_of(known),
        # Spent when the login ends, so that a page can be loaded again; kept as long as one may be under way.
        spends=tuple(replace(c, until=c.until + lasting) for c in known.signed_parameters.spends),
        tolerances=(FRONT_CHANNEL, *tolerances_of(known)),
    )


def _sent_back(known: FrontChannelFacts, error: OAuthError) -> SendBack | None:
    try:
        redirect_uri = known.own_redirect_uri
    except NotYetKnown:
        return None
    values = known.signed_parameters.values
    state = values.get("state")
    if not (isinstance(state, str) and len(state) <= MAX_STATE_LENGTH and state.isprintable()):
        state = None
    return SendBack(
        redirect_uri,
        response_parameters(issuer=known.services.issuer, state=state or None, error=error),
        RESPONSE_MODES.get(str(values.get("response_mode")), "query"),
    )
