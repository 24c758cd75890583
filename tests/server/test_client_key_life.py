"""How keys of clients follow one another, and who is reminded: the same truths for every history of moves."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillit.protocol.jose import PublicKey, generate_key
from tillit_server.issuer.clients.client import Client, client_from
from tillit_server.issuer.clients.expiry import (
    DAY,
    REMIND_AT,
    expiring_clients,
    last_expiry,
    reminder,
    reminders,
)
from tillit_server.issuer.clients.keys import BY_CLIENT, BY_OPERATOR, MAX_KEYS, ClientKey
from tillit_server.issuer.clients.renewal import KeyRefused, with_key, with_proof, without_key
from tillit_server.storage.ports import Record

KEYS: Sequence[PublicKey] = tuple(generate_key("ES256", f"key-{number}").public for number in range(24))
LIFE, OVERLAP, NOW = 1000.0, 100.0, 1_768_465_800.0


def client_with(*keys: ClientKey) -> Client:
    """A client that has these keys."""
    return Client("ehr", keys, ("310000019",), frozenset(), frozenset({"client_credentials"}))


MOVE = st.tuples(
    st.sampled_from(["renew", "renew", "use", "remove", "add"]),
    st.integers(0, len(KEYS) - 1),
    st.floats(0, 400),
)


@given(st.lists(MOVE, max_size=40))
def test_whatever_happens_a_key_that_works_is_never_lost_to_one_that_was_not_shown(
    moves: list[tuple[str, int, float]],
):
    """Over any history a key is ended early by a removal, to make room, or by the overlap, and by nothing else."""
    now = NOW
    client = client_with(ClientKey(KEYS[0], None, BY_OPERATOR, now))
    for move, number, seconds in moves:
        now += seconds
        key, before = KEYS[number], client
        try:
            if move in {"renew", "add"}:
                origin = BY_CLIENT if move == "renew" else BY_OPERATOR
                added = with_key(client, key, now=now, expires_at=now + LIFE, origin=origin)
                client = added.client
                unproven = [entry for entry in before.keys if not entry.proven]
                if any(entry.proven and entry.good_at(now) for entry in added.dropped):
                    assert not unproven
                assert all(entry.origin == BY_CLIENT or not entry.good_at(now) for entry in added.dropped)
            elif move == "use":
                good = [entry for entry in client.keys if entry.key is key and entry.good_at(now)]
                proven = with_proof(client, key.thumbprint, now=now, overlap=OVERLAP) if good else None
                if proven is not None:
                    client = proven.client
                    assert proven.key.good_at(now)
                    assert all(entry.expires_at == now + OVERLAP for entry in proven.shortened)
            else:
                client, _ = without_key(client, key.kid, now=now)
        except KeyRefused:
            assert client is before
        kids = [entry.key.kid for entry in client.keys]
        assert 1 <= len(kids) == len(set(kids)) <= MAX_KEYS
        ends = {entry.key.kid: entry.expires_at for entry in before.keys}
        for entry in client.keys:
            if entry.key.kid in ends and ends[entry.key.kid] != entry.expires_at:
                assert move == "use"
                assert entry.expires_at == now + OVERLAP
    assert client_from(client.to_record()) == client


def test_reminders_come_30_14_7_and_1_days_before_the_end():
    """The smallest reminder that is due, exactly from its instant; after the end it is 0."""
    end = NOW + 100 * DAY
    for days, due in (
        (31, None),
        (30, 30),
        (14.1, 30),
        (14, 14),
        (7, 7),
        (1.1, 7),
        (1, 1),
        (0.01, 1),
        (0, 0),
    ):
        assert reminder(end, end - days * DAY) == due
    assert reminder(None, NOW) is None


class Lying:
    """Records as they lie in a store."""

    def __init__(self, *clients: Client) -> None:
        self._clients = clients

    def each(self, kind: str) -> list[tuple[str, Record]]:
        """All of them."""
        assert kind == "client"
        return [(client.id, Record(client.to_record(), 1)) for client in self._clients]


def test_it_is_the_last_key_that_counts():
    """A client with a key that ends late, or never, is left in peace, and so is one that is disabled."""
    soon, late = (ClientKey(KEYS[n], NOW + days * DAY) for n, days in ((0, 5), (1, 50)))
    one = replace(client_with(soon), id="one")
    clients = (
        one,
        replace(client_with(soon, late), id="two"),
        replace(client_with(soon, ClientKey(KEYS[2])), id="three"),
        replace(one, id="four", disabled=True),
        replace(client_with(replace(soon, expires_at=NOW)), id="five"),
    )
    records = Lying(*clients)
    assert reminders(records, NOW) == {"one": (7, NOW + 5 * DAY), "five": (0, NOW)}
    assert expiring_clients(records, NOW) == {30: 0, 14: 0, 7: 1, 1: 0, 0: 1}
    assert set(REMIND_AT) | {0} == {30, 14, 7, 1, 0}
    assert last_expiry({"keys": [], "jwks_uri": "https://ehr.example/jwks"}) is None


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("exp", "soon"),
        ("exp", True),
        ("registered_at", []),
        ("proven_at", "x"),
        ("origin", "Web"),
        ("origin", None),
    ],
)
def test_a_record_of_a_key_is_checked(member: str, value: object):
    """What is said about a key beside its members is of the right kind, or the client is refused by name of the member."""
    record = client_with(ClientKey(KEYS[0])).to_record()
    record["keys"][0][member] = value
    with pytest.raises(ValueError, match=rf"keys\[0\]\.{member}: "):
        client_from(record)
