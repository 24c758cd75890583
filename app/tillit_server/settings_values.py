"""What a setting's value may look like: as TOML has it, or as text of the environment or a flag."""

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


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
