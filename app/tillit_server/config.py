"""Settings: one immutable value, read from file, environment and flags, checked as a whole.

A name means the same in all three places: ``issuer`` in the file, ``TILLIT_ISSUER`` in the environment,
``--issuer`` on the command line; a flag stands before the environment, the environment before the file.
Names nobody knows are refused, and every fault is reported at once.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tillit.outbound.addresses import Reach, read_networks
from tillit.protocol.jose import ALGORITHMS
from tillit_server.issuer.limiting import ADDRESS_LIMITS, CLIENT_LIMITS, limit_faults
from tillit_server.settings_values import (
    CONVERTERS,
    faults_of_issuer,
    faults_of_storage,
    faults_of_traces,
    is_address,
    is_loopback,
)
from tillit_server.signing.key_stores import TokenPlace, custody_faults, token_place

ENVIRONMENT_PREFIX = "TILLIT_"
SHIPPED_CONFIG = Path(str(files("tillit_server") / "shipped"))
MAX_WORKERS = 64
DEFAULT_PORT = 8080


class SettingsError(Exception):
    """The settings cannot be used; ``faults`` lists every reason, one line each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an installation decides for itself.

    ``issuer``: the public base URL, the only source of every URL the service makes or compares with.
    ``data``: directory of the embedded database. ``keys``: directory of the master key.
    ``config``: directory with ``apis/``, ``clients/`` and ``registers/``.
    Durations are seconds.
    """

    issuer: str
    data: Path
    dev: bool = False
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    workers: int = 1
    threads: int = 16
    management_host: str = "127.0.0.1"
    management_port: int = 8081
    drain: float = 2.0
    config: Path = SHIPPED_CONFIG
    keys: Path | None = None
    passphrase_file: Path | None = None
    custody: str = "software"
    pkcs11_module: Path | None = None
    pkcs11_label: str = "tillit"
    pkcs11_pin_file: Path | None = None
    pkcs11_sessions: int = 4
    clock: Path | None = None
    algorithms: tuple[str, ...] = ("ES256", "RS256")
    nonce_required: bool = True
    nonce_slot: int = 120
    synthetic_identifiers: bool = False
    jwks_max_age: int = 600
    explain_per_minute: int = 30
    client_limits: tuple[str, ...] = CLIENT_LIMITS
    address_limits: tuple[str, ...] = ADDRESS_LIMITS
    trusted_proxies: tuple[str, ...] = ()
    request_uri_lifetime: int = 300
    interaction_lifetime: int = 1800
    code_lifetime: int = 60
    session_lifetime: int = 3600
    id_token_lifetime: int = 300
    refresh_lifetime: int = 28_800
    client_key_lifetime: int = 31_536_000
    client_key_overlap: int = 1_209_600
    storage_url: str | None = None
    storage_shared_url: str | None = None
    storage_timeout: float = 0.8
    client_key_networks: tuple[str, ...] = ()
    storage_connections: int = 4
    traces_url: str | None = None
    traces_sampled: float = 1.0
    traces_from_proxy: bool = False

    @property
    def keys_directory(self) -> Path:
        """Where the master key lives: ``keys`` if set, else a folder beside the database (development)."""
        return self.keys or self.data / "keys"

    @property
    def passphrase_of_master_key(self) -> Path | None:
        """The file whose passphrase opens the master key; development mode keeps its own beside it."""
        return self.passphrase_file or (self.keys_directory / "passphrase" if self.dev else None)

    @property
    def key_reach(self) -> Reach:
        """How far the service goes to fetch what a client publishes. Raises ``ValueError``."""
        return Reach(read_networks(self.client_key_networks), plain_loopback=self.dev)

    @property
    def token_place(self) -> TokenPlace | None:
        """The PKCS#11 token with signing keys, if there is one."""
        return token_place(self.pkcs11_module, self.pkcs11_label, self.pkcs11_pin_file, self.pkcs11_sessions)

    @property
    def path(self) -> str:
        """The path of the issuer without a final slash; empty for an issuer that is only a host."""
        return urlsplit(self.issuer).path.rstrip("/")

    @property
    def own_address(self) -> str:
        """Where this service reaches itself: past whatever ends TLS before it, with its own certificate."""
        if self.issuer.startswith("http://"):
            return self.issuer
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}{self.path}"

    def url(self, path: str) -> str:
        """The public URL of ``path`` under the issuer."""
        return self.issuer + path


def load_settings(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """Read, merge and check the settings.

    ``flags`` holds only what was given on the command line; a value of ``None`` counts as not given.
    Raises ``SettingsError`` with all faults.
    """
    faults: list[str] = []
    given = {**_from_file(file, faults), **_from_environment(environment or {})}
    given |= {name: value for name, value in (flags or {}).items() if value is not None}
    values = _converted(given, faults)
    if values.get("dev"):
        values.setdefault("issuer", f"http://127.0.0.1:{values.get('port', DEFAULT_PORT)}")
        values.setdefault("synthetic_identifiers", True)
        # Many of them run side by side, and whoever stops one by hand does not wait.
        values.setdefault("management_port", 0)
        values.setdefault("drain", 0.0)
        values.setdefault("client_limits", ())
        values.setdefault("address_limits", ())
    faults += [f"{name}: needed" for name in ("issuer", "data") if name not in {*values, *given}]
    if faults:
        raise SettingsError(faults)
    settings = Settings(**values)
    faults += _faults_of(settings)
    if faults:
        raise SettingsError(faults)
    return settings


def _from_file(file: Path | None, faults: list[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        faults.append(f"{file.name}: cannot be read ({error.strerror})")
    except UnicodeDecodeError:
        faults.append(f"{file.name}: cannot be read (not UTF-8)")
    except tomllib.TOMLDecodeError as error:
        faults.append(f"{file.name}: not TOML ({error})")
    return {}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }


def _converted(given: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    types = {member.name: member.type for member in dataclasses.fields(Settings)}
    values: dict[str, Any] = {}
    for name, raw in given.items():
        if name not in types:
            faults.append(f"{name}: unknown setting")
            continue
        needed, convert = CONVERTERS[types[name]]
        try:
            values[name] = convert(raw)
        except (TypeError, ValueError, KeyError):
            faults.append(f"{name}: {needed} needed")
    return values


# Compared so that a number that is none at all is outside, too.
_RANGES: Mapping[str, tuple[float, float]] = {
    "port": (1, 65_535),
    "workers": (1, MAX_WORKERS),
    "threads": (1, 1_000),
    "management_port": (0, 65_535),
    "drain": (0, 300),
    "nonce_slot": (1, 3_600),
    "jwks_max_age": (0, 86_400),
    "explain_per_minute": (0, 1_000_000),
    # FAPI 2.0: 5 s at least and under 600; a code lives a minute at most
    "request_uri_lifetime": (5, 599),
    "interaction_lifetime": (60, 7_200),
    "code_lifetime": (5, 60),
    "session_lifetime": (60, 86_400),
    "id_token_lifetime": (60, 3_600),
    "refresh_lifetime": (60, 31_536_000),
    "client_key_lifetime": (86_400, 63_072_000),
    "client_key_overlap": (0, 31_536_000),
    "pkcs11_sessions": (1, 1_000),
    "storage_timeout": (0.05, 10),
    "storage_connections": (1, 100),
    "traces_sampled": (0, 1),
}


def _faults_of(settings: Settings) -> list[str]:
    faults = faults_of_issuer(settings.issuer, dev=settings.dev) + faults_of_storage(
        settings.storage_url, settings.storage_shared_url, dev=settings.dev
    )
    outside = {name: r for name, r in _RANGES.items() if not r[0] <= getattr(settings, name) <= r[1]}
    faults += [f"{name}: {low} to {high} needed" for name, (low, high) in outside.items()]
    faults += [
        f"{name}: an IP address needed"
        for name in ("host", "management_host")
        if not is_address(getattr(settings, name))
    ]
    if settings.management_port == settings.port:
        faults.append("management_port: another one than port needed")
    faults += limit_faults(settings.client_limits, settings.address_limits, settings.trusted_proxies)
    faults += faults_of_traces(settings.traces_url)
    if settings.traces_from_proxy and not settings.trusted_proxies:
        faults.append("traces_from_proxy: only beside trusted_proxies")
    if not settings.algorithms:
        faults.append("algorithms: at least one needed")
    if settings.client_key_overlap >= settings.client_key_lifetime:
        faults.append("client_key_overlap: shorter than client_key_lifetime needed")
    known = {*ALGORITHMS, "RS256"}
    faults += [f"algorithms: {name} is not supported" for name in settings.algorithms if name not in known]
    faults += custody_faults(settings.custody, settings.pkcs11_module, settings.pkcs11_pin_file)
    if not settings.config.is_dir():
        faults.append("config: no such directory")
    if settings.data.exists() and not settings.data.is_dir():
        faults.append("data: not a directory")
    try:
        read_networks(settings.client_key_networks)
    except ValueError as error:
        faults.append(f"client_key_networks: {error}")
    return faults + (_development_faults(settings) if settings.dev else _production_faults(settings))


def _development_faults(settings: Settings) -> list[str]:
    return [
        f"{name}: development mode listens on a loopback address only"
        for name in ("host", "management_host")
        if not is_loopback(getattr(settings, name))
    ]


def _production_faults(settings: Settings) -> list[str]:
    faults: list[str] = []
    if settings.clock is not None:
        faults.append("clock: a clock file belongs to development mode")
    if settings.keys is None:
        faults.append("keys: needed (the directory of the master key)")
    if settings.passphrase_file is None:
        faults.append("passphrase_file: needed (opens the master key)")
    return faults
