"""What every store of private keys must do: one suite, run over keys in software and keys in a token."""

from dataclasses import replace

import pytest
from joserfc import jws
from joserfc.jwk import import_key

from signing.conftest import START
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import load_public_jwk, load_public_jwks, private_der, sign, thumbprint, verify
from tillit_server.signing.custody import CustodyError
from tillit_server.signing.key_moves import IllegalMove, Revoke, Rotate
from tillit_server.signing.keyring import DAY, DESTROY_AFTER, Entry, State

# joserfc warns of EdDSA, whose name RFC 9864 splits in two.
pytestmark = pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
CLAIMS = {"sub": "somebody", "exp": int(START) + 60}
SIGNATURE_BYTES = {"ES256": 64, "ES384": 96, "ES512": 132, "EdDSA": 64, "RS256": 384}


@pytest.fixture(params=["software", pytest.param("pkcs11", marks=pytest.mark.hsm)])
def token(request: pytest.FixtureRequest):
    """None, or a token."""
    return None if request.param == "software" else request.getfixturevalue("hsm")


@pytest.fixture
def stores(token, open_stores):
    return open_stores(token)


def entry_of(made, alg: str, **members) -> Entry:
    """A key as it stands in the ring."""
    fields = {"announced_at": 0, "active_from": 0, **members}
    return Entry(made.kid, alg, made.public, made.private, **fields)


@pytest.mark.parametrize("alg", SIGNATURE_BYTES)
def test_a_new_key_signs_as_jose_wants_it(stores, alg: str) -> None:
    """Its id is the thumbprint of its JWK, and our verifier and joserfc verify its signature by that JWK."""
    made, key = stores[0].make(alg)
    assert made.kid == key.kid == thumbprint(made.public) == made.public["kid"]
    token = sign({"typ": "JWT"}, CLAIMS, key)
    assert len(read_jws(token).signature) == SIGNATURE_BYTES[alg]
    public = load_public_jwk(made.public, algorithms=(alg,))
    assert verify(read_jws(token), [public], algorithms=(alg,)) == public
    assert (
        jws.deserialize_compact(token, import_key(dict(made.public)), algorithms=[alg]).headers()["alg"]
        == alg
    )


def test_one_rsa_key_signs_with_every_padding(stores) -> None:
    """PS256, PS384 and PS512 too come out as RFC 7518 has them: the salt as long as the hash."""
    made, _ = stores[0].make("RS256")
    for alg in ("PS256", "PS384", "PS512"):
        public = {**made.public, "alg": alg}
        key = stores[0].open(Entry(made.kid, alg, public, made.private, 0, 0), made.private)
        token = sign({}, CLAIMS, key)
        assert verify(read_jws(token), load_public_jwks({"keys": [public]}), algorithms=(alg,)).alg == alg
        jws.deserialize_compact(token, import_key(public), algorithms=[alg])


def test_the_text_in_the_ring_opens_the_key_again(stores) -> None:
    """Another process opens the same key by its text, which holds nothing that is secret."""
    made, key = stores[0].make("ES256")
    again = stores[0].open(entry_of(made, "ES256"), made.private)
    assert again == key
    assert made.private.startswith(f"{stores[0].scheme}:")
    assert verify(read_jws(sign({}, CLAIMS, again)), [key.public], algorithms=("ES256",)) == key.public


@pytest.mark.parametrize("damage", ["", ":", "zz", "åæø", "\0"])
def test_a_damaged_text_is_refused(stores, damage: str) -> None:
    """With one line, and before anything is signed."""
    made, _ = stores[0].make("ES256")
    text = f"{stores[0].scheme}:{damage}" if damage != "" else made.private + "0"
    with pytest.raises(CustodyError):
        stores[0].open(entry_of(made, "ES256"), text)


def test_a_life_from_the_first_ring_to_the_destruction(start_signer, stores, clock, ticks) -> None:
    """Rotated, retired, gone, and after seven days the private half is nowhere; the public one stays."""
    signer = start_signer(stores=stores)
    first = signer.sign("JWT", CLAIMS, "ES256")[1]
    clock.pass_(2 * DAY)
    ticks.pass_(2)
    signer.change(Rotate("ES256"), operator="test", reason="test")
    for seconds in (10, 3700, DESTROY_AFTER):
        clock.pass_(seconds)
        ticks.pass_(2)
        assert signer.sign("JWT", CLAIMS, "ES256")[1] != first
    ticks.pass_(2)
    signer.sign("JWT", CLAIMS, "ES256")
    entry = next(e for e in signer.ring().entries if e.kid == first)
    assert (entry.state(clock()), entry.private, entry.custody) == (State.GONE, None, "destroyed")
    assert first in {key.kid for key in signer.archive()}
    assert first not in (stores[0].held() or {}).values()


def test_a_key_revoked_now_is_nowhere_at_once(start_signer, stores, clock, ticks) -> None:
    """The standby signs, and neither the ring nor a device holds the private half any more."""
    signer = start_signer(stores=stores)
    kid = signer.sign("JWT", CLAIMS, "ES256")[1]
    clock.pass_(DAY)
    signer.change(Revoke(kid, at_once=True), operator="test", reason="test")
    assert kid not in (stores[0].held() or {}).values()
    ticks.pass_(2)
    assert signer.sign("JWT", CLAIMS, "ES256")[1] != kid


def test_a_key_made_by_the_loser_of_a_race_is_left_nowhere(
    start_signer, token, open_stores, *, records, clock, ticks
) -> None:
    """Two processes rotate at once: one makes the next standby, and the other's key is gone from the device."""
    stores = open_stores(token)
    winner, loser = start_signer(stores=stores), start_signer(stores=open_stores(token))
    clock.pass_(2 * DAY)
    ticks.pass_(2)
    winner.sign("JWT", CLAIMS, "ES256"), loser.sign("JWT", CLAIMS, "ES256")
    move = Rotate(
        "ES256", kid=next(e.kid for e in winner.ring().entries if e.state(clock()) is State.ANNOUNCED)
    )
    records.before_put = lambda: winner.change(move, operator="winner", reason="test")
    with pytest.raises(IllegalMove, match="already"):
        loser.change(move, operator="loser", reason="test")
    loser.close()
    entries = winner.ring().entries
    assert len(entries) == 3
    kept = {e.private for e in entries if e.private and e.private.startswith("pkcs11:")}
    assert set(stores[0].held() or ()) == kept


def test_another_ones_key_is_refused(start_signer, stores, records) -> None:
    """An entry whose text is another entry's does not open, or does not sign: nothing leaves."""
    made, other = (stores[0].make("ES256")[0] for _ in range(2))
    mixed = replace(entry_of(made, "ES256"), private=other.private)
    try:
        token = sign({}, CLAIMS, stores[0].open(mixed, other.private))
    except CustodyError:
        return
    with pytest.raises(Rejected):
        verify(read_jws(token), [load_public_jwk(made.public)], algorithms=("ES256",))


@pytest.mark.hsm
def test_a_key_in_a_token_cannot_be_written(hsm, open_stores) -> None:
    """Whoever asks for the private half gets a refusal, not a fault."""
    key = open_stores(hsm)[0].make("ES256")[1]
    with pytest.raises(Rejected, match="kept elsewhere"):
        private_der(key)


@pytest.mark.hsm
def test_an_installation_moves_into_a_token_by_rotations(
    start_signer, hsm, open_stores, clock, ticks
) -> None:
    """With the setting changed, sealed keys sign on until the standby from the token takes over; and back."""
    old = start_signer(stores=open_stores(None)).sign("JWT", CLAIMS, "ES256")[1]
    stores = open_stores(hsm)
    signer = start_signer(stores=stores)
    assert signer.sign("JWT", CLAIMS, "ES256")[1] == old
    for _ in range(2):
        clock.pass_(2 * DAY)
        ticks.pass_(2)
        signer.change(Rotate("ES256"), operator="test", reason="test")
    clock.pass_(10)
    ticks.pass_(2)
    kid = signer.sign("JWT", CLAIMS, "ES256")[1]
    assert next(e.custody for e in signer.ring().entries if e.kid == kid) == "pkcs11"
    with pytest.raises(CustodyError, match="kept in pkcs11: no setting names it"):
        start_signer()
    assert start_signer(stores=stores[::-1]).sign("JWT", CLAIMS, "ES256")[1] == kid
