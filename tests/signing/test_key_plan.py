"""The key ring as a stored ring."""

import pytest

from tillit.protocol.jose import generate_key
from tillit_server.signing.custody import CustodyError
from tillit_server.signing.key_plan import KeyPlan, public_members
from tillit_server.signing.key_store import SealedKeys
from tillit_server.signing.keyring import Policy

START = 1_795_000_000


@pytest.fixture
def plan(custody) -> KeyPlan:
    return KeyPlan(custody, Policy(), ("ES256", "EdDSA"))


def test_a_ring_survives_the_store(plan: KeyPlan, custody) -> None:
    """Another process reads the same ring and opens the same keys."""
    ring, _ = plan.advance(None, START)
    other = KeyPlan(custody, Policy(), ("ES256", "EdDSA")).from_json(plan.to_json(ring))
    assert other == ring
    assert [e.alg for e in ring.ring.entries] == ["ES256", "ES256", "EdDSA", "EdDSA"]


def test_nothing_due_is_the_same_ring(plan: KeyPlan) -> None:
    """No write, no new version, for a ring that needs nothing."""
    ring, _ = plan.advance(None, START)
    again, changes = plan.advance(ring, START + 1)
    assert again is ring
    assert changes == ()


def test_a_store_that_cannot_write_does_not_make_keys_for_ever(custody) -> None:
    """Keys made for a change that was not written are used for the next attempt, and each only once."""
    made = []
    plan = KeyPlan(
        custody,
        Policy(),
        ("ES256",),
        [SealedKeys(custody, lambda alg: made.append(generate_key(alg)) or made[-1])],
    )
    first = plan.advance(None, START)[0]
    assert [plan.advance(None, START)[0] for _ in range(5)] == [first] * 5
    assert len(made) == 2
    due = first.ring.entries[1].active_from - 86_400
    again = [plan.advance(first, due + late)[0] for late in range(5)]
    assert len(made) == 3
    assert len({entry.kid for ring in again for entry in ring.ring.entries}) == 3
    assert len(plan.advance(again[-1], due + 95 * 86_400)[0].ring.entries) == 4
    assert len(made) == 4


def test_no_private_key_lies_open_in_the_document(plan: KeyPlan) -> None:
    """The private half is there only as the custodian's text."""
    ring, _ = plan.advance(None, START)
    for entry in plan.to_json(ring):
        assert entry["private"].startswith("sealed:")
        assert not {"d", "p", "q", "k"} & set(entry["public"])


def test_keys_are_opened_once(custody, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring that changed in one key opens only that key."""
    plan = KeyPlan(custody, Policy(), ("ES256",))
    ring, _ = plan.advance(None, START)
    body = plan.to_json(ring)
    reader = KeyPlan(custody, Policy(), ("ES256",))
    reader.from_json(body)
    monkeypatch.setattr(custody, "open", None)
    reader.from_json(body)


def test_a_destroyed_private_half_leaves_the_public_key(plan: KeyPlan, custody) -> None:
    """The archive still verifies what the key signed."""
    body = plan.to_json(plan.advance(None, START)[0])
    body[0]["private"] = None
    ring = KeyPlan(custody, Policy(), ()).from_json(body)
    assert body[0]["kid"] in ring.public
    assert body[0]["kid"] not in ring.private


def test_k4_an_exchanged_archive_key_stops_the_start(plan: KeyPlan, custody) -> None:
    """With no private half to compare with, the kid itself tells that the public key is another one."""
    body = plan.to_json(plan.advance(None, START)[0])
    body[0]["private"] = None
    body[0]["public"] = {**body[1]["public"], "kid": body[0]["kid"]}
    with pytest.raises(CustodyError, match="is another one"):
        KeyPlan(custody, Policy(), ()).from_json(body)


@pytest.mark.parametrize("member", ["x", "kid", "alg", "kty"])
def test_k4_a_published_key_that_is_another_one_stops_the_start(member: str, plan: KeyPlan, custody) -> None:
    """Whichever member of the public JWK was exchanged, the pair is refused."""
    body = plan.to_json(plan.advance(None, START)[0])
    body[0]["public"] = {
        **body[0]["public"],
        member: body[1]["public"][member] if member in ("x", "kid") else "EC9",
    }
    with pytest.raises(CustodyError) as refused:
        KeyPlan(custody, Policy(), ()).from_json(body)
    assert refused.value.line.isprintable()


def test_k4_a_private_key_sealed_for_another_kid_stops_the_start(plan: KeyPlan, custody) -> None:
    """Even the custodian's own seal does not make a foreign pair acceptable."""
    from tillit.protocol.jose import private_der

    body = plan.to_json(plan.advance(None, START)[0])
    foreign = custody.seal(private_der(generate_key("ES256")), context=f"signing key {body[0]['kid']}")
    body[0]["private"] = foreign
    with pytest.raises(CustodyError, match="does not belong to its public key"):
        KeyPlan(custody, Policy(), ()).from_json(body)
    body[0]["private"] = custody.seal(b"no key", context=f"signing key {body[0]['kid']}")
    with pytest.raises(CustodyError, match="cannot be read"):
        KeyPlan(custody, Policy(), ()).from_json(body)


def test_k7_only_public_members_can_leave() -> None:
    """Even if a private member got into the ring, the key set would not have it."""
    private = dict.fromkeys(("d", "p", "q", "dp", "dq", "qi", "oth", "k", "key_ops", "x5c", "anything"), "x")
    public = {"kty": "EC", "crv": "P-256", "x": "1", "y": "2", "kid": "k", "use": "sig", "alg": "ES256"}
    assert public_members({**private, **public}) == public
