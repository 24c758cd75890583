"""Signing keys in a PKCS#11 token: made inside, never extractable, used through sessions.

The ring holds ``pkcs11:<CKA_ID in hexadecimal>`` for such a key. The id begins with a mark, since a
token may be shared with others; the label is the key's ``kid``.
"""

import hashlib
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asn1crypto.core import OctetString
from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, NoSuchKey, ObjectClass
from pkcs11 import exceptions as faults
from pkcs11.util.ec import encode_named_curve_parameters

from tillit.protocol.errors import Rejected
from tillit.protocol.jose import (
    KeptElsewhere,
    PublicKey,
    SigningKey,
    base64url,
    load_public_jwk,
    sign_bytes,
    verify_bytes,
)
from tillit_server.signing.files import CustodyError
from tillit_server.signing.key_life import Entry, NewKey
from tillit_server.signing.pkcs11_token import Seat, Token

SCHEME: Final = "pkcs11"
RSA_BITS: Final = 3072
ID_BYTES: Final = 12
MARK: Final = b"tillit"
_SELF_TEST: Final = b"tillit: the first signature of a new key"

_Digest = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class _Curve:
    """How keys of a curve are made, and what their public point looks like."""

    parameters: str
    crv: str
    size: int
    digest: _Digest | None


_CURVES: Final[Mapping[str, _Curve]] = {
    "ES256": _Curve("secp256r1", "P-256", 32, hashlib.sha256),
    "ES384": _Curve("secp384r1", "P-384", 48, hashlib.sha384),
    "ES512": _Curve("secp521r1", "P-521", 66, hashlib.sha512),
    "EdDSA": _Curve("1.3.101.112", "Ed25519", 32, None),
}
# RFC 7518 sections 3.3 and 3.5: the salt is as long as the hash.
_RSA: Final[Mapping[str, tuple[Mechanism, tuple[Mechanism, MGF, int] | None]]] = {
    "RS256": (Mechanism.SHA256_RSA_PKCS, None),
    "PS256": (Mechanism.SHA256_RSA_PKCS_PSS, (Mechanism.SHA256, MGF.SHA256, 32)),
    "PS384": (Mechanism.SHA384_RSA_PKCS_PSS, (Mechanism.SHA384, MGF.SHA384, 48)),
    "PS512": (Mechanism.SHA512_RSA_PKCS_PSS, (Mechanism.SHA512, MGF.SHA512, 64)),
}
_GUARDED: Final = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}


class TokenKeys:
    """The store of the keys in a token; if they are ``spared``, none is destroyed."""

    scheme = SCHEME

    def __init__(self, token: Token, *, spared: bool = False) -> None:
        self._token = token
        self._spared = spared

    def make(self, alg: str) -> tuple[NewKey, SigningKey]:
        """A key made inside the token, tried once. Raises ``CustodyError``, ``TokenUnavailable``."""
        ident = MARK + secrets.token_bytes(ID_BYTES)
        public = self._token.use(lambda seat: _generated(seat, alg, ident))
        key = self._key(public, ident, alg)
        if not verify_bytes(_SELF_TEST, sign_bytes(_SELF_TEST, key), public, alg):
            raise CustodyError(f"token {self._token.label!r}: a signature by a new {alg} key does not verify")
        return NewKey(key.kid, public.jwk, f"{SCHEME}:{ident.hex()}"), key

    def open(self, entry: Entry, private: str) -> SigningKey:
        """The key of an entry; whether the token has it shows when it signs. Raises ``CustodyError``."""
        try:
            ident = bytes.fromhex(private.removeprefix(f"{SCHEME}:"))
            return self._key(load_public_jwk(entry.public, algorithms=(entry.alg,)), ident, entry.alg)
        except (ValueError, Rejected):
            raise CustodyError(f"the private key of {entry.kid} cannot be read") from None

    def destroy(self, kids: Collection[str]) -> None:
        """Destroy the objects of these keys; one that is gone is fine. Raises ``TokenUnavailable``."""

        def work(seat: Seat) -> None:
            for found in _ours(seat):
                if found.label in kids:
                    _destroyed(found)

        if not self._spared:
            self._token.use(work)

    def held(self) -> Mapping[str, str]:
        """The private keys of ours in the token. Raises ``TokenUnavailable``."""

        def work(seat: Seat) -> dict[str, str]:
            return {f"{SCHEME}:{found.id.hex()}": found.label for found in _ours(seat)}

        return self._token.use(work)

    def close(self) -> None:
        """Close the sessions."""
        self._token.close()

    def _key(self, public: PublicKey, ident: bytes, alg: str) -> SigningKey:
        return SigningKey(public.kid, alg, public, InToken(self._token, ident, alg))


class InToken(KeptElsewhere):
    """The private half of one key: its place in the token."""

    def __init__(self, token: Token, ident: bytes, alg: str) -> None:
        self._token = token
        self._ident = ident
        self._alg = alg

    def __repr__(self) -> str:
        return f"InToken({self._ident.hex()})"

    def sign_octets(self, data: bytes) -> bytes:
        """The signature as JOSE wants it. Raises ``TokenUnavailable``."""
        return self._token.use(lambda seat: _signature(_found(seat, self._ident), self._alg, data))


def _generated(seat: Seat, alg: str, ident: bytes) -> PublicKey:
    """Make a pair; the public half is only for now, the private one is named by its thumbprint."""
    how: dict[str, Any] = {
        "id": ident,
        "label": "tillit: being made",
        "store": True,
        "capabilities": MechanismFlag.SIGN | MechanismFlag.VERIFY,
        "public_template": {Attribute.TOKEN: False},
        "private_template": _GUARDED,
    }
    if alg in _CURVES:
        edwards = alg == "EdDSA"
        kind = KeyType.EC_EDWARDS if edwards else KeyType.EC
        parameters = {Attribute.EC_PARAMS: encode_named_curve_parameters(_CURVES[alg].parameters)}
        domain = seat.session.create_domain_parameters(kind, parameters, local=True)
        if edwards:
            how["mechanism"] = Mechanism.EC_EDWARDS_KEY_PAIR_GEN
        public, private = domain.generate_keypair(**how)
    else:
        public, private = seat.session.generate_keypair(KeyType.RSA, RSA_BITS, **how)
    try:
        _require_guarded(private)
        made = load_public_jwk({**_public_members(public, alg), "alg": alg}, algorithms=(alg,))
        private[Attribute.LABEL] = made.kid
    except BaseException:
        _destroyed(private)
        raise
    public.destroy()
    return made


def _require_guarded(private: Any) -> None:
    if not private[Attribute.NEVER_EXTRACTABLE] or not private[Attribute.ALWAYS_SENSITIVE]:
        raise CustodyError("the token makes keys that can be taken out of it")


def _public_members(public: Any, alg: str) -> dict[str, str]:
    """The members of the JWK (RFC 7518 section 6, RFC 8037 section 2)."""
    if alg in _RSA:
        names = {"n": Attribute.MODULUS, "e": Attribute.PUBLIC_EXPONENT}
        numbers = {name: base64url(bytes(public[which]).lstrip(b"\0")) for name, which in names.items()}
        return {"kty": "RSA", **numbers}
    curve, point = _CURVES[alg], bytes(public[Attribute.EC_POINT])
    length = curve.size if curve.digest is None else 1 + 2 * curve.size
    if len(point) != length:  # in DER, as PKCS #11 v3.0 section 2.3.3 has it; older modules give it bare
        point = bytes(OctetString.load(point).native)
    if curve.digest is None:
        return {"kty": "OKP", "crv": curve.crv, "x": base64url(point)}
    x, y = point[1 : 1 + curve.size], point[1 + curve.size :]
    return {"kty": "EC", "crv": curve.crv, "x": base64url(x), "y": base64url(y)}


def _found(seat: Seat, ident: bytes) -> Any:
    """The private key of an id in this session. Raises ``NoSuchKey``."""
    key = seat.keys.get(ident)
    if key is None:
        wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.ID: ident}
        key = next(iter(list(seat.session.get_objects(wanted))), None)
        if key is None:
            raise NoSuchKey
        seat.keys[ident] = key
    return key


def _signature(key: Any, alg: str, data: bytes) -> bytes:
    if alg in _RSA:
        mechanism, parameters = _RSA[alg]
        return bytes(key.sign(data, mechanism=mechanism, mechanism_param=parameters))
    digest = _CURVES[alg].digest
    if digest is None:
        return bytes(key.sign(data, mechanism=Mechanism.EDDSA))
    # CKM_ECDSA gives r and s of fixed length, which is what RFC 7518 section 3.4 wants.
    return bytes(key.sign(digest(data).digest(), mechanism=Mechanism.ECDSA))


def _ours(seat: Seat) -> list[Any]:
    """The private keys that bear our mark. Raises ``PKCS11Error``, also for a token that is away."""
    seat.session.token.slot.get_token()  # one that is away finds nothing, and says no word about it
    every = list(seat.session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))
    return [found for found in every if bytes(found.id).startswith(MARK)]


def _destroyed(found: Any) -> None:
    """Destroy an object, or see that another process did."""
    try:
        found.destroy()
    except faults.ObjectHandleInvalid:
        return
