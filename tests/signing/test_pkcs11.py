"""Signing keys in a token: what is inside, how sessions are shared, and what happens when the token is away."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pkcs11
import pytest
from pkcs11 import Attribute, ObjectClass

from support.softhsm import fresh_label
from tillit.protocol.jose import SigningKey, sign_bytes, verify_bytes
from tillit_server.signing import pkcs11_token
from tillit_server.signing.custody import CustodyError
from tillit_server.signing.doctor import examine
from tillit_server.signing.key_moves import Revoke
from tillit_server.signing.key_store import TokenUnavailable
from tillit_server.signing.key_stores import TokenPlace
from tillit_server.signing.keyring import DAY, Policy, State
from tillit_server.signing.signer import SelfCheckFailed

pytestmark = pytest.mark.hsm
DATA = b"what is signed"


def signs(key: SigningKey) -> bool:
    """Whether it makes a signature that holds."""
    return verify_bytes(DATA, sign_bytes(DATA, key), key.public, key.alg)


def private_objects(seat):
    """Every private key in the token."""
    return list(seat.session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))


@pytest.mark.parametrize("alg", ["ES256", "EdDSA", "RS256"])
def test_k8_a_key_cannot_leave_its_token(hsm, open_stores, alg: str) -> None:
    """Sensitive, never extractable, made inside, named by its kid; its value is refused, bare and wrapped."""
    store = open_stores(hsm)[0]
    made, _ = store.make(alg)

    def look(seat) -> None:
        (key,) = private_objects(seat)
        assert (key.label, key.id.hex()) == (made.kid, made.private.removeprefix("pkcs11:"))
        for name in ("SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL", "PRIVATE", "SIGN"):
            assert key[Attribute[name]] is True, name
        for name in ("EXTRACTABLE", "DECRYPT", "UNWRAP", "DERIVE"):
            assert key[Attribute[name]] is False, name
        secret = Attribute.VALUE if alg != "RS256" else Attribute.PRIVATE_EXPONENT
        with pytest.raises(pkcs11.AttributeSensitive):
            key[secret]
        with pytest.raises(pkcs11.PKCS11Error):
            key[Attribute.EXTRACTABLE] = True
        with pytest.raises(pkcs11.PKCS11Error):
            key[Attribute.SENSITIVE] = False
        wrapping = seat.session.generate_key(pkcs11.KeyType.AES, 256)
        with pytest.raises((pkcs11.KeyUnextractable, pkcs11.KeyNotWrappable)):
            wrapping.wrap_key(key, mechanism=pkcs11.Mechanism.AES_KEY_WRAP_PAD)
        assert not list(seat.session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY}))

    store._token.use(look)


def test_k8_many_threads_share_few_sessions(hsm, open_stores) -> None:
    """Twelve threads sign through three sessions at once, and every signature holds."""
    store = open_stores(hsm, sessions=3)[0]
    key = store.make("ES256")[1]
    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(lambda _: signs(key), range(240)))
    assert len(store._token._free) <= 3


def test_k8_who_gets_no_session_in_time_is_told_so(hsm, open_stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that is slow makes requests fail as unavailable, not wait for ever."""
    store = open_stores(hsm, sessions=1)[0]
    monkeypatch.setattr(pkcs11_token, "PATIENCE", 0.05)
    begun, over = threading.Event(), threading.Event()
    slow = threading.Thread(target=lambda: store._token.use(lambda _: (begun.set(), over.wait(10))))
    slow.start()
    begun.wait(10)
    with pytest.raises(TokenUnavailable, match="all 1 sessions are busy"):
        store.held()
    over.set()
    slow.join()
    assert store.held() == {}


@pytest.mark.parametrize("what", ["close", "log out"])
def test_k8_sessions_that_were_closed_are_opened_again(hsm, open_stores, what: str) -> None:
    """The token closes every session, or logs everybody out: the very next signature holds."""
    store = open_stores(hsm)[0]
    key = store.make("ES256")[1]
    assert signs(key)
    sessions = (
        [seat.session for seat in store._token._free] if what == "close" else [store._token._main.session]
    )
    for session in sessions:
        session.close()
    assert signs(key)


def test_k8_a_token_that_comes_back_is_found(hsm, open_stores) -> None:
    """Away it is unavailable; back, the same store signs at its next attempt, from every thread."""
    store = open_stores(hsm)[0]
    key = store.make("ES256")[1]
    hsm.take_away()
    try:
        for _ in range(3):
            with pytest.raises(TokenUnavailable):
                signs(key)
    finally:
        hsm.bring_back()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: signs(key), range(16)))


def test_k8_a_child_process_opens_the_module_for_itself(hsm, open_stores) -> None:
    """A worker that is forked from a process with open sessions signs, and so does its parent afterwards."""
    key = open_stores(hsm)[0].make("ES256")[1]
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if signs(key) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert signs(key)


def test_k8_a_wrong_pin_is_tried_once(hsm, open_stores) -> None:
    """Again and again would lock the token: after the first refusal nobody asks until the next start."""
    hsm.write_pin("314159")
    try:
        store = open_stores(hsm)[0]
        asked = []
        real = store._token._logged_in
        store._token._logged_in = lambda token: asked.append(token) or real(token)
        for _ in range(3):
            with pytest.raises(TokenUnavailable, match=r"does not take this PIN \(PinIncorrect\)") as refusal:
                store.make("ES256")
            assert "314159" not in str(refusal.value)
            assert str(hsm.pin_file) in str(refusal.value)
        assert len(asked) == 1
    finally:
        hsm.write_pin("271828")


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        (lambda p: p.chmod(0o644), "lets others in"),
        (lambda p: p.unlink(), "there is no PIN file"),
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: (p.unlink(), p.symlink_to("/dev/null")), "symbolic link"),
    ],
)
def test_a_pin_file_is_as_closed_as_a_passphrase(hsm, open_stores, tmp_path, broken, line: str) -> None:
    """Modes, kind and content are checked before the module is loaded."""
    pin = tmp_path / "pin"
    pin.touch(mode=0o600)
    pin.write_text("271828", encoding="utf-8")
    broken(pin)
    with pytest.raises(CustodyError, match=line):
        pkcs11_token.Token(hsm.module, hsm.label, pin, 1)


@pytest.mark.parametrize("content", [None, b"no library", b"\x7fELF"])
def test_what_is_no_module_is_refused(hsm, tmp_path, content: bytes | None) -> None:
    """A path without a file, a text, a torn library: one line that names it."""
    path = tmp_path / "module.so"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CustodyError, match="cannot be used as a PKCS#11 module"):
        pkcs11_token.Token(path, hsm.label, hsm.pin_file, 1)


def test_a_library_that_is_no_module_is_refused(hsm) -> None:
    """The C library is a library, and has no tokens."""
    with pytest.raises(CustodyError, match="cannot be used as a PKCS#11 module"):
        pkcs11_token.Token(pytest.importorskip("ctypes.util").find_library("c"), hsm.label, hsm.pin_file, 1)


def test_a_label_nobody_has_is_a_token_that_is_away(hsm, open_stores) -> None:
    """And the line names the label."""
    place = TokenPlace(hsm.module, "nobody's", hsm.pin_file, 1)
    token = pkcs11_token.Token(place.module, place.label, place.pin_file, 1)
    with pytest.raises(TokenUnavailable, match='"nobody\'s" does not answer: NoSuchToken'):
        token.use(lambda _: None)
    token.close()


def test_k7_a_token_that_signs_wrongly_is_caught(start_signer, hsm, open_stores, monkeypatch) -> None:
    """One bit turned on the way from the token: the signature is thrown away, and a new key is not taken."""
    stores = open_stores(hsm)
    signer = start_signer(stores=stores)
    real = pkcs11_token.Token.use

    def turned(token, work):
        answer = real(token, work)
        return bytes([answer[0] ^ 1]) + answer[1:] if isinstance(answer, bytes) else answer

    monkeypatch.setattr(pkcs11_token.Token, "use", turned)
    with pytest.raises(SelfCheckFailed):
        signer.sign("JWT", {}, "ES256")
    with pytest.raises(CustodyError, match="does not verify"):
        stores[0].make("ES256")


def test_the_doctor_compares_token_and_ring(
    start_signer, records, custody, *, clock, hsm, open_stores
) -> None:
    """In order; an object nobody needs; a key whose object is gone; a token that is away."""
    stores = open_stores(hsm)
    signer = start_signer(stores=stores)

    def findings() -> list[tuple[str, str]]:
        found = examine(records, custody, Policy(), ("ES256",), clock(), stores=stores)
        return [(f.verdict, f.text) for f in found if f.what == "pkcs11 token"]

    assert findings() == [("ok", "logged in; its 2 private keys are those of the ring")]
    lost = stores[0].make("ES256")[0]
    ((verdict, text),) = findings()
    assert verdict == "look"
    assert lost.kid in text
    kid = signer.ring().entries[0].kid
    stores[0].destroy([lost.kid, kid])
    ((verdict, text),) = findings()
    assert verdict == "BAD"
    assert kid in text
    hsm.take_away()
    try:
        ((verdict, text),) = findings()
    finally:
        hsm.bring_back()
    assert verdict == "BAD"


def test_a_token_may_be_shared(hsm, open_stores) -> None:
    """Objects without our mark are neither shown nor destroyed, whatever their label."""
    store = open_stores(hsm)[0]
    made, _ = store.make("ES256")

    def foreign(seat) -> None:
        seat.session.generate_keypair(pkcs11.KeyType.RSA, 1024, id=b"other", label=made.kid, store=True)

    store._token.use(foreign)
    assert list(store.held().values()) == [made.kid]
    store.destroy([made.kid])
    assert store.held() == {}
    assert len(store._token.use(private_objects)) == 1


def test_a_lost_token_costs_its_keys_and_nothing_else(start_signer, hsm, open_stores, clock) -> None:
    """With a new token in its place, two revocations bring a key into use that was made there."""
    start_signer(stores=open_stores(hsm))
    new = open_stores(hsm.add_token(fresh_label()))
    signer = start_signer(stores=new)
    with pytest.raises(TokenUnavailable, match="NoSuchKey"):
        signer.check()
    for kid in [entry.kid for entry in signer.ring().entries]:
        clock.pass_(1)
        signer.change(Revoke(kid, at_once=True), operator="test", reason="token lost")
    signer.check()
    assert signer.sign("JWT", {}, "ES256")[1] in new[0].held().values()


@pytest.mark.parametrize("which", [State.ACTIVE, State.ANNOUNCED])
def test_a_key_that_ended_while_the_token_was_away_is_buried_later(
    start_signer, hsm, open_stores, *, clock, ticks, which: State
) -> None:
    """An emergency does not wait for the token; when it is back the object goes, and a standby is made."""
    stores = open_stores(hsm)
    signer = start_signer(stores=stores)
    kid = next(e.kid for e in signer.ring().entries if e.state(clock()) is which)
    clock.pass_(DAY)
    hsm.take_away()
    try:
        signer.change(Revoke(kid, at_once=True), operator="test", reason="test")
        assert kid not in {key["kid"] for key in signer.jwks(clock())["keys"]}
    finally:
        hsm.bring_back()
    assert kid in stores[0].held().values()
    for _ in range(2):
        ticks.pass_(2)
        assert signer.sign("JWT", {}, "ES256")[1] != kid
    held, entries = stores[0].held(), signer.ring().entries
    assert kid not in held.values()
    assert {e.private for e in entries if e.private} == set(held)
    assert [e.state(clock()) for e in entries if e.kid != kid] == [State.ACTIVE, State.ANNOUNCED]
