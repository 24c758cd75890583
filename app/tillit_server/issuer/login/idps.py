"""The identity providers that people log in at: ``idps/*.toml`` in the configuration directory, one each."""

import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tillit.outbound.transport import TransportError, require_safe_url
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import read_json
from tillit.protocol.jose import SigningKey, load_private_jwk
from tillit_server.issuer.development_keys import development_key

LEVELS: Final = ("2", "3", "4")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

CLAIMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pid": "pid",
        "level": "acr",
        "name": "name",
        "given_name": "given_name",
        "middle_name": "middle_name",
        "family_name": "family_name",
    }
)
"""What we want to know, and the claim of the ID token that usually says it."""

_NEEDED: Final = ("title", "issuer", "client_id", "levels")
_TEXTS: Final = ("title", "issuer", "client_id", "scope", "amr_parameter")
_MEMBERS: Final = frozenset({*_TEXTS, "key_file", "development_key", "levels", "claims"})


class IdpError(ValueError):
    """A provider cannot be used as it is described; the message is one line and holds no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idp:
    """One upstream OpenID provider, and who we are there.

    ``name`` is what ``acr_values=idp:NAME`` says, ``title`` what people read. ``key`` signs our client
    assertions. ``claims``: as ``CLAIMS``. ``levels``: the provider's word for a security level, and ours
    (``2``, ``3``, ``4``). ``amr_parameter``: how it is told which e-ID is wanted, if it can be.
    """

    name: str
    title: str
    issuer: str
    client_id: str
    key: SigningKey = field(repr=False)
    levels: Mapping[str, str]
    scope: str = "openid profile"
    claims: Mapping[str, str] = field(default_factory=lambda: CLAIMS)
    amr_parameter: str | None = None

    def words_for(self, level: str | None) -> tuple[str, ...]:
        """The provider's words for ``level`` and what is above it; none where no level is asked for."""
        return tuple(word for word, ours in self.levels.items() if ours >= level) if level else ()


class IdpRegistry:
    """The providers of an installation, in the order of their files."""

    def __init__(self, *idps: Idp) -> None:
        self._by_name = {idp.name: idp for idp in idps}

    def __iter__(self) -> Iterator[Idp]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, name: str | None) -> Idp | None:
        """The provider of that name; without a name the only one there is, if it is the only one."""
        if name is None:
            return next(iter(self), None) if len(self) == 1 else None
        return self._by_name.get(name)


def load_idps(directory: Path, *, development_keys: Path | None) -> tuple[Idp, ...]:
    """The providers of every ``*.toml`` in ``directory``, which need not exist; each is named by its file.

    ``development_keys``: where keys of ``development_key`` providers lie or are made; None outside
    development mode, where such providers are refused. Raises ``IdpError``.
    """
    return tuple(_load(path, development_keys) for path in sorted(directory.glob("*.toml")))


def _load(path: Path, development_keys: Path | None) -> Idp:
    try:
        entry = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise IdpError(f"idps/{path.name}: {error}") from error
    try:
        return _idp(path, entry, development_keys)
    except IdpError as error:
        raise IdpError(f"idps/{path.name}: {error}") from error


def _idp(path: Path, entry: Mapping[str, Any], development_keys: Path | None) -> Idp:
    if not _NAME.fullmatch(path.stem):
        raise IdpError("a file name of lower-case letters, digits and '-' needed")
    unknown = set(entry) - _MEMBERS
    if unknown:
        raise IdpError(f"{min(unknown)}: unknown member")
    for name in _NEEDED:
        if name not in entry:
            raise IdpError(f"{name}: needed")
    texts = {name: entry[name] for name in _TEXTS if name in entry}
    for name, text in texts.items():
        if type(text) is not str or not text or not text.isprintable():
            raise IdpError(f"{name}: a text needed")
    try:
        require_safe_url(texts["issuer"])
    except TransportError as error:
        raise IdpError(f"issuer: {error}") from error
    if "openid" not in texts.get("scope", "openid").split():
        raise IdpError("scope: openid needed")
    return Idp(
        name=path.stem,
        key=_key(path, entry, development_keys),
        levels=_levels(entry["levels"]),
        claims=_claims(entry.get("claims", {})),
        **texts,
    )


def _levels(given: Any) -> Mapping[str, str]:
    if type(given) is not dict or not given or not all(level in LEVELS for level in given.values()):
        raise IdpError(f"levels: words of the provider, each with one of {', '.join(LEVELS)} needed")
    return MappingProxyType(given)


def _claims(given: Any) -> Mapping[str, str]:
    if type(given) is not dict or not set(given) <= set(CLAIMS):
        raise IdpError(f"claims: names for some of {', '.join(CLAIMS)} needed")
    if not all(type(name) is str and name for name in given.values()):
        raise IdpError("claims: names of claims needed")
    return MappingProxyType({**CLAIMS, **given})


def _key(path: Path, entry: Mapping[str, Any], development_keys: Path | None) -> SigningKey:
    if entry.get("development_key"):
        if development_keys is None:
            raise IdpError("development_key belongs to development mode")
        return development_key(development_keys / f"{path.stem}.jwk")
    if type(entry.get("key_file")) is not str:
        raise IdpError("key_file: needed, the file of our private key as a JWK")
    file = path.parent / entry["key_file"]
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise IdpError("key_file: mode 0600 needed, nobody else may read it")
        document = read_json(file.read_bytes())
    except OSError as error:
        raise IdpError(f"key_file: cannot be read ({error.strerror})") from error
    except Rejected as error:
        raise IdpError("key_file: a JWK needed") from error
    try:
        return load_private_jwk(document)
    except (Rejected, TypeError, AttributeError) as error:
        raise IdpError("key_file: a private JWK of a usable kind needed") from error
