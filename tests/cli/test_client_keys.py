"""``tillit clients keys`` beside the running service: what operators see of clients' keys, and change."""

import json
import time

import pytest

from support.backstage import Backstage, eventually
from support.self_service import KeyOwner
from support.shell import Shell, one_line
from tillit.protocol.jose import generate_key, private_jwk
from tillit_server.issuer.clients.use import last_uses

DAY = 86_400


@pytest.fixture
def owner(backstage: Backstage) -> KeyOwner:
    """A client of the shared service."""
    return KeyOwner.of(backstage)


def test_keys_are_added_and_removed_beside_running_workers(
    shell: Shell, backstage: Backstage, owner: KeyOwner
):
    """A key added with an expiry authenticates within a second, a removed one no longer; the audit names the operator."""
    client_id, new = owner.ehr.client_id, generate_key("ES256")
    who = ("--operator", "kari", "--reason", "new machine")
    done = shell.operate(
        *("clients", "keys", "add", "--id", client_id, "--jwks", shell.file(dict(new.public.jwk))),
        *("--expires", "2099-01-01", *who),
    )
    assert done.stdout == f"{client_id}: added {new.kid}\n"
    assert eventually(lambda: all(owner.works(new) for _ in range(8)))
    shown = json.loads(shell.operate("clients", "keys", "list", "--id", client_id, "--output", "json").stdout)
    assert [(key["kid"], key["origin"], key["exp"]) for key in shown] == [
        (owner.ehr.key.kid, "Gui", None),
        (new.kid, "Gui", 4_070_908_800),
    ]
    assert all(abs(key["registered_at"] - time.time()) < 600 for key in shown)
    done = shell.operate("clients", "keys", "remove", "--id", client_id, "--kid", owner.ehr.key.kid, *who)
    assert done.stdout == f"{client_id}: removed {owner.ehr.key.kid}\n"
    assert eventually(lambda: not any(owner.works(owner.ehr.key) for _ in range(8)))
    for event, kid in (("added", new.kid), ("removed", owner.ehr.key.kid)):
        (entry,) = backstage.entries(f"registry.client_key.{event}", client_id=client_id)
        assert (entry.public["kid"], entry.public["operator"]) == (kid, "kari")


def test_what_cannot_be_is_told_in_one_line(shell: Shell, owner: KeyOwner):
    """The only key stays; private keys and keys that have expired are not added."""
    client_id, key = owner.ehr.client_id, owner.ehr.key
    removing = ("clients", "keys", "remove", "--id", client_id, "--kid")
    assert "add another first" in one_line(shell.operate(*removing, key.kid, exit_code=1))
    adding = ("clients", "keys", "add", "--id", client_id, "--jwks")
    new = generate_key("ES256")
    private = shell.operate(*adding, shell.file(private_jwk(new)), exit_code=1)
    assert "keys[0].jwk.d: private" in one_line(private)
    late = shell.operate(*adding, shell.file(dict(new.public.jwk)), "--expires", "2020-01-01", exit_code=1)
    assert one_line(late) == "clients: --expires has passed already"


def test_the_list_of_clients_says_who_will_be_locked_out(shell: Shell, backstage: Backstage):
    """The last key's end and the reminder that is due stand in the table and in JSON; a key without end is none."""
    now, ids = backstage.service.now(), {}
    for days in (40, 29, 6.5, 0.5, -1):
        key = generate_key("ES256")
        keys = [{**key.public.jwk, "exp": now + days * DAY}]
        ids[days] = backstage.client(key, keys=keys).client_id
    ids[None] = backstage.client().client_id
    listed = json.loads(shell.operate("clients", "list", "--output", "json").stdout)
    due = {client["id"]: client["reminder_days"] for client in listed}
    assert [due[name] for name in ids.values()] == [None, 30, 7, 1, 0, None]
    table = shell.operate("clients", "list").stdout.splitlines()
    lines = {line.split()[0]: line for line in table}
    assert "(in 7 days or less)" in lines[ids[6.5]]
    assert "(EXPIRED)" in lines[ids[-1]]
    assert " never " in lines[ids[None]]


def test_the_last_use_of_a_key_is_seen_from_outside(shell: Shell, backstage: Backstage, owner: KeyOwner):
    """The first use of a key that the client sent is in the list within seconds, and nothing says so before."""
    new = generate_key("ES256")
    assert owner.renew(new).status == 200
    table = shell.operate("clients", "keys", "list", "--id", owner.ehr.client_id).stdout.splitlines()
    assert [line.endswith("good, never used") for line in table] == [False, False, True]
    owner.use(new)
    used = (owner.ehr.client_id, new.public.thumbprint)
    assert eventually(lambda: used in last_uses(backstage.services.store.records))
    listing = ("clients", "keys", "list", "--id", owner.ehr.client_id, "--output", "json")
    found = json.loads(shell.operate(*listing).stdout)
    assert found[1]["last_used_at"] == pytest.approx(backstage.service.now(), abs=120)
    assert found[1]["proven_at"] == found[1]["last_used_at"]
