"""Where a token is to be used."""

from dataclasses import dataclass

from tillit_server.issuer.apis import Api


@dataclass(frozen=True, slots=True)
class Target:
    """One API and the scopes granted for it."""

    api: Api
    scopes: tuple[str, ...]
