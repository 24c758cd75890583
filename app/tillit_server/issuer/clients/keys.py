"""The keys of a client: several at once, each with its own end, and what is known about each of them.

A key lies in the client's record as its JWK with members of ours beside it: ``exp``, ``origin``,
``registered_at`` and ``proven_at``.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from tillit.protocol.errors import Rejected
from tillit.protocol.jose import PublicKey, load_public_jwk
from tillit_server.issuer.clients.rules import ClientError

MAX_KEYS: Final = 10
Origin = Literal["Gui", "Api"]
BY_OPERATOR: Final = "Gui"
BY_CLIENT: Final = "Api"


@dataclass(frozen=True, slots=True)
class ClientKey:
    """One public key of a client. Times are Unix seconds.

    ``expires_at``: the instant from which it authenticates nobody, None for never. ``origin``: ``Gui`` when
    an operator registered it, ``Api`` when the client did. ``proven_at``: when the client first showed that
    it holds the private half; an operator's key needs no such proof.
    """

    key: PublicKey
    expires_at: float | None = None
    origin: Origin = BY_OPERATOR
    registered_at: float | None = None
    proven_at: float | None = None

    @property
    def proven(self) -> bool:
        """Whether somebody has shown, or an operator vouched, that the client holds the private half."""
        return self.origin == BY_OPERATOR or self.proven_at is not None

    def good_at(self, now: float) -> bool:
        """Whether it has not expired at ``now``."""
        return self.expires_at is None or now < self.expires_at

    def to_record(self) -> dict[str, Any]:
        """The JSON form that is stored and printed."""
        return {**self.key.jwk, "exp": self.expires_at, **{name: getattr(self, name) for name in _MEMBERS}}


_MEMBERS: Final = ("origin", "registered_at", "proven_at")


def read_keys(jwks: object, algorithms: Collection[str]) -> tuple[ClientKey, ...]:
    """The keys that ``jwks`` (JSON as of ``ClientKey.to_record``, or bare JWKs) describes, every one checked.

    Raises ``ClientError``.
    """
    if not isinstance(jwks, list | tuple) or not 1 <= len(jwks) <= MAX_KEYS:
        raise ClientError(f"keys: 1 to {MAX_KEYS} JSON Web Keys needed")
    keys = tuple(_read_key(jwk, f"keys[{position}]", algorithms) for position, jwk in enumerate(jwks))
    if len({entry.key.kid for entry in keys}) != len(keys):
        raise ClientError("keys: two keys with the same kid")
    return keys


def _read_key(jwk: object, where: str, algorithms: Collection[str]) -> ClientKey:
    if not isinstance(jwk, Mapping):
        raise ClientError(f"{where}: a JSON Web Key needed")
    times = {name: jwk.get(name) for name in ("exp", "registered_at", "proven_at")}
    for name, value in times.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ClientError(f"{where}.{name}: Unix seconds needed")
    origin = jwk.get("origin", BY_OPERATOR)
    if origin not in {BY_OPERATOR, BY_CLIENT}:
        raise ClientError(f"{where}.origin: {BY_OPERATOR} or {BY_CLIENT} needed")
    public = {name: member for name, member in jwk.items() if name not in {"exp", *_MEMBERS}}
    try:
        key = load_public_jwk(public, algorithms=algorithms)
    except Rejected as error:
        raise ClientError(f"{where}.{error.pointer}: {error.reason}") from error
    return ClientKey(key, times["exp"], origin, times["registered_at"], times["proven_at"])
