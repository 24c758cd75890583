"""Which stores of private keys an installation has."""

from dataclasses import dataclass
from pathlib import Path

from tillit_server.signing.custody import Custody
from tillit_server.signing.files import CustodyError
from tillit_server.signing.key_store import KeyStore, SealedKeys

CUSTODIES = ("software", "pkcs11")


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """A PKCS#11 token: its module, its label, the file with the PIN, the sessions that a process opens."""

    module: Path
    label: str
    pin_file: Path
    sessions: int


def token_place(module: Path | None, label: str, pin_file: Path | None, sessions: int) -> TokenPlace | None:
    """The place, if the settings name one."""
    return None if module is None or pin_file is None else TokenPlace(module, label, pin_file, sessions)


def custody_faults(first: str, module: Path | None, pin_file: Path | None) -> list[str]:
    """What is wrong with the settings about custody, one line each."""
    faults: list[str] = []
    if first not in CUSTODIES:
        faults.append(f"custody: {' or '.join(CUSTODIES)} needed")
    if first == "pkcs11" and module is None:
        faults.append("pkcs11_module: needed where keys are kept in a token")
    if module is not None and pin_file is None:
        faults.append("pkcs11_pin_file: needed (opens the token)")
    return faults


def open_key_stores(
    custody: Custody, first: str, place: TokenPlace | None, *, spared: bool = False
) -> tuple[KeyStore, ...]:
    """The stores; new keys are made in the ``first`` (``software`` or ``pkcs11``).

    Both are there while an installation moves from one to the other. ``spared``: nothing in the token is
    destroyed. Raises ``CustodyError``; a token that is away just now is no fault.
    """
    sealed = SealedKeys(custody)
    if place is None:
        return (sealed,)
    try:
        from tillit_server.signing.pkcs11 import TokenKeys  # noqa: PLC0415  (an extra of its own)
        from tillit_server.signing.pkcs11_token import Token  # noqa: PLC0415  (as above)
    except ImportError:
        raise CustodyError("pkcs11_module: needs the extra: pip install tillit[server,hsm]") from None
    in_token = TokenKeys(Token(place.module, place.label, place.pin_file, place.sessions), spared=spared)
    return (in_token, sealed) if first == "pkcs11" else (sealed, in_token)
