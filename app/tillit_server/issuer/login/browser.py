"""The browser as the authorization endpoint sees it: plain values in, one of two answers out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Browser:
    """What a browser brought.

    ``parameters``: of the query or form, each once. ``binding``: the random value by which a browser is
    known again within a login. ``session``: the secret of its session here. Both come from cookies.
    """

    parameters: Mapping[str, str]
    resources: tuple[str, ...] = ()
    binding: str | None = field(default=None, repr=False)
    session: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SendBack:
    """The browser goes back to the client (RFC 6749 §4.1.2, RFC 9207), with a new session if there is one."""

    redirect_uri: str
    parameters: Mapping[str, str] = field(repr=False)
    mode: Literal["query", "form_post"] = "query"
    session: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LogIn:
    """Somebody must log in first; ``interaction`` is good in the browser with ``binding`` only.

    ``idp``: the provider asked for by name. ``level``: the security level needed. ``force``: also somebody
    whom the provider still knows must log in anew. ``amr``: the e-ID asked for within a provider.
    """

    interaction: str
    binding: str = field(repr=False)
    client_name: str
    idp: str | None = None
    level: str | None = None
    force: bool = False
    amr: tuple[str, ...] = ()
    login_hint: str | None = field(default=None, repr=False)
    ui_locales: tuple[str, ...] = ()
