"""Where a token is to be used."""

from dataclasses import dataclass

from tillit.quick import quick
from tillit_server.issuer.apis import Api


@quick
@dataclass(frozen=True, slots=True)
class Target:
    """One API and the scopes granted for it; ``rejected`` are those whose terms of use are not accepted."""

    api: Api
    scopes: tuple[str, ...]
    rejected: tuple[str, ...] = ()
