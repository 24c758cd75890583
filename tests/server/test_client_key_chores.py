"""What workers do about clients' keys beside answering: sampled uses, and reminders in the log."""

from dataclasses import replace
from typing import Any

from support.backstage import Backstage, Timeline, eventually
from tillit.protocol.jose import generate_key
from tillit_server.issuer.clients.use import PERIOD, KeyUse, KeyUseKeeper, last_uses

DAY = 86_400


class Counting:
    """A store that counts what is settled."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.settled = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def settle(self, *settlement: Any, **more: Any) -> None:
        """As the store does."""
        self.settled += 1
        self._store.settle(*settlement, **more)


def test_uses_are_written_once_a_minute_and_all_at_once(backstage: Backstage):
    """A thousand tokens of three clients cost no write of their own, and one a minute later for all of them."""
    elapsed, began = 0.0, backstage.service.now()
    store = Counting(backstage.services.store)
    services = replace(backstage.services, store=store, key_use=KeyUse())
    keeper = KeyUseKeeper(services, monotonic=lambda: elapsed)
    ehrs = [backstage.client() for _ in range(3)]
    for second in range(60):
        elapsed = float(second)
        for ehr in ehrs:
            client = services.clients.find(ehr.client_id)
            assert client is not None
            for _ in range(6):
                services.key_use.note(client, client.keys[0].key, began + second)
        keeper.tick()
        assert store.settled == 0
    elapsed = PERIOD
    keeper.tick()
    keeper.tick()
    assert store.settled == 1
    uses = last_uses(services.store.records)
    assert {uses[ehr.client_id, ehr.key.public.thumbprint] for ehr in ehrs} == {began + 59}


def test_a_client_that_is_gone_proves_nothing_and_harms_nobody(backstage: Backstage):
    """A use that is written down after its client was replaced is passed over."""
    services = replace(backstage.services, key_use=KeyUse())
    ehr = backstage.client(keys=[{**generate_key("ES256").public.jwk, "origin": "Api"}])
    client = services.clients.find(ehr.client_id)
    assert client is not None
    services.key_use.note(replace(client, id="nobody-there"), client.keys[0].key, 1.0)
    KeyUseKeeper(services, monotonic=lambda: 0.0).tick()
    assert backstage.entries("registry.client_key.proven", client_id="nobody-there") == []


def test_a_reminder_is_logged_once_by_all_workers_together(timeline: Timeline):
    """When seven days are left the log says so, once for the installation, and names the client but no key."""
    now = timeline.moment()
    key = generate_key("ES256")
    keys = [{**key.public.jwk, "exp": now + 7 * DAY + 3600}]
    client_id = timeline.backstage.client(key, keys=keys).client_id

    def reminders() -> list[str]:
        lines = timeline.service.log().splitlines()
        return [line for line in lines if client_id in line and "keys of a client expire" in line]

    timeline.moment()
    (line,) = eventually(lambda: [found for found in reminders() if '"days":7' in found])
    assert key.kid not in line
    timeline.moment()
    assert sum('"days":7' in found for found in reminders()) == 1
