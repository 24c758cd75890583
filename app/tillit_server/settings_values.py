"""What a setting's value may look like: as TOML has it, or as text of the environment or a flag."""

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_PRINTABLE = re.compile(r"[!-~]+")


def _boolean(raw: object) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return raw if isinstance(raw, bool) else known[str(raw).lower()]


def _whole(raw: object) -> int:
    # In Python true is 1, and int() cuts 1.9 to 1; in settings both are slips of the pen.
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise TypeError
    return int(raw)


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise TypeError
    return float(raw)


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError
    return raw


def _path(raw: object) -> Path:
    if not isinstance(raw, str | Path) or not str(raw) or "\0" in str(raw):
        raise TypeError
    return Path(raw)


def _words(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        return tuple(raw.replace(",", " ").split())
    if isinstance(raw, list | tuple):
        return tuple(_text(word) for word in raw)
    raise TypeError


CONVERTERS: Mapping[object, tuple[str, Callable[[Any], Any]]] = {
    str: ("a text", _text),
    str | None: ("a text", _text),
    int: ("a whole number", _whole),
    float: ("a number", _number),
    bool: ("true or false", _boolean),
    Path: ("a path", _path),
    Path | None: ("a path", _path),
    tuple[str, ...]: ("a list of names", _words),
}
"""For each type of a setting what is asked for in words, and what makes it of a raw value.

Raises `TypeError`, `ValueError` or `KeyError`.
"""


def faults_of_storage(url: str | None, shared_url: str | None, *, dev: bool) -> list[str]:
    """What is wrong with the addresses of the stores, a line each. No line repeats an address."""
    faults: list[str] = []
    if shared_url and not url:
        faults.append("storage_shared_url: only beside storage_url")
    if url and not shared_url and not dev:
        faults.append('storage_shared_url: needed beside storage_url ("embedded" for one host alone)')
    try:
        parts = urlsplit(url or "")
        password = parts.password
    except ValueError:
        return [*faults, "storage_url: not a URL"]
    if url and parts.scheme not in {"postgresql", "postgres"}:
        faults.append("storage_url: postgresql://HOST/NAME needed")
    if password is not None or "password=" in parts.query:
        faults.append("storage_url: no password in it; name a file by ?passfile=FILE")
    return faults


def faults_of_traces(url: str | None) -> list[str]:
    """What is wrong with the address of a collector. No line repeats it."""
    try:
        parts = urlsplit(url or "http://none")
        host, _ = parts.hostname, parts.port
    except ValueError:
        return ["traces_url: not a URL"]
    if parts.scheme not in {"http", "https"} or not host or not _PRINTABLE.fullmatch(url or "-"):
        return ["traces_url: http://HOST:4318/v1/traces needed"]
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return ["traces_url: no query and no password in it; set OTEL_EXPORTER_OTLP_HEADERS"]
    return []


def faults_of_issuer(issuer: str, *, dev: bool) -> list[str]:
    """What is wrong with the public base URL."""
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return ["issuer: not a URL"]
    faults: list[str] = []
    if not _PRINTABLE.fullmatch(issuer):
        faults.append("issuer: printable ASCII without blanks needed")
    if not host or parts.scheme not in {"http", "https"}:
        faults.append("issuer: an https URL with a host needed")
    elif parts.scheme == "http" and not (dev and is_loopback(host)):
        faults.append("issuer: https needed (ATT-3; http only in development mode on loopback)")
    elif dev and not is_loopback(host):
        faults.append("issuer: development mode refuses a public address")
    if parts.query or parts.fragment or parts.username or "?" in issuer or "#" in issuer:
        faults.append("issuer: no query, fragment or user info (RFC 8414 §2)")
    if issuer.endswith("/"):
        faults.append("issuer: without a final slash")
    return faults


def is_address(host: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether it names this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
