"""A client renews its own key against the running service, and is stopped at every point of it."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.commands import run
from tillit.client import BadAnswer, Client, FileKeyStore, KeyRenewal, ServerRefused, StoredKeys, Unreachable
from tillit.outbound import Request, Response
from tillit.outbound.transport import Outbound, TransportError
from tillit.protocol.jose import SigningKey, generate_key

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "renew_key.py"
DAY = 86_400


class Pulled(BaseException):
    """The process is gone: nothing after this line is done."""


class Machine:
    """An EHR's machine: a disk with its keys, and processes that come and go."""

    def __init__(self, ehr: SwiftEhr, path: Path) -> None:
        self.ehr = ehr
        self.disk = FileKeyStore(path)
        self.disk.save(StoredKeys(ehr.key))
        self.network = Outbound(pooled=True)
        self.left: float = float("inf")

    def step(self) -> None:
        """One more thing done on the way; at the last one the plug is pulled."""
        self.left -= 1
        if self.left < 0:
            raise Pulled

    def send(self, request: Request) -> Response:
        """The network: the plug may be pulled before a request leaves, or when its answer is lost."""
        self.step()
        answer = self.network(request)
        self.step()
        return answer

    def load(self) -> StoredKeys:
        """The disk, as a `KeyStore`."""
        return self.disk.load()

    def save(self, keys: StoredKeys) -> None:
        """The same: the plug may be pulled before or after a save."""
        self.step()
        self.disk.save(keys)
        self.step()

    def client(self) -> Client:
        """A process that starts with the key that is in use."""
        now = self.ehr.service.now
        return Client(
            self.ehr.service.issuer, self.ehr.client_id, self.load().current, http=self.send, clock=now
        )

    def renewal(self, **settings: object) -> KeyRenewal:
        """A renewal in a process that has just started."""
        return KeyRenewal(self.client(), self, wait=lambda _: None, **settings)

    def works(self) -> bool:
        """Whether the key that a new process would use gets a token."""
        return bool(self.client().fetch_token(scope=SELF_SERVICE).value)


@pytest.fixture
def machine(backstage: Backstage, tmp_path: Path) -> Iterator[Machine]:
    """A machine with the key that an operator registered."""
    running = Machine(backstage.client(), tmp_path / "keys.json")
    yield running
    running.network.close()


def test_a_key_is_renewed_tested_and_only_then_used(machine: Machine, backstage: Backstage):
    """Afterwards the disk holds the new key alone, the running client signs with it, and the old one has its fortnight."""
    client = machine.client()
    old = client.wire.key.kid
    renewal = KeyRenewal(client, machine)
    assert renewal.expires_at() is None
    new = renewal.renew()
    assert (machine.load().current.kid, machine.load().next) == (new.kid, None)
    assert client.wire.key.kid == new.kid != old
    assert client.fetch_token(scope=SELF_SERVICE).value
    (proven,) = backstage.entries("registry.client_key.proven", client_id=client.client_id)
    assert (proven.public["reason"], proven.public["shortened"]) == ("signed its own renewal", [old])
    assert renewal.expires_at() == pytest.approx(client.clock() + 365 * DAY, abs=60)


def test_a_renewal_waits_until_it_is_due(machine: Machine, backstage: Backstage):
    """Nothing is done while the key has long to live; within the days ahead it is renewed, and then there is peace."""
    assert not machine.renewal().renew_if_due()
    key = generate_key("ES256")
    keys = [{**key.public.jwk, "exp": backstage.service.now() + 20 * DAY}]
    machine.ehr = backstage.client(key, keys=keys)
    machine.disk.save(StoredKeys(key))
    assert not machine.renewal().renew_if_due(ahead=7 * DAY)
    assert machine.renewal().renew_if_due()
    assert machine.load().current.kid != key.kid
    assert not machine.renewal().renew_if_due()


def steps_of(machine: Machine) -> int:
    """How many steps an undisturbed renewal has."""
    machine.left = many = 10_000
    machine.renewal().renew()
    return int(many - machine.left)


def stopped(machine: Machine, stop: int) -> None:
    """Stop a renewal after so many steps, and see what the next process finds and does."""
    machine.left = stop
    with pytest.raises(Pulled):
        machine.renewal().renew()
    machine.left = float("inf")
    before = machine.load()
    assert machine.works(), stop
    renewed = machine.renewal().renew()
    if before.next is not None:
        assert renewed.kid == before.next.kid, stop
    assert (machine.load().current.kid, machine.load().next) == (renewed.kid, None)
    machine.network.close()


def test_whoever_pulls_the_plug_leaves_a_key_that_works(
    machine: Machine, backstage: Backstage, tmp_path: Path
):
    """Stopped before or after any request or save, a new process has a working key and ends the renewal."""
    stops = range(1, steps_of(machine))
    assert len(stops) > 10
    machines = [Machine(backstage.client(), tmp_path / f"{stop}.json") for stop in stops]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(stopped, machines, stops))


KILLED = """
import os, signal, sys
from tillit.client import Client, FileKeyStore, KeyRenewal
from tillit.outbound.transport import Outbound

issuer, client_id, path, left = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
network = Outbound(pooled=True)

def send(request):
    global left
    answer = network(request)
    left -= request.url.endswith("client-secret")
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer

store = FileKeyStore(path)
KeyRenewal(Client(issuer, client_id, store.load().current, http=send), store).renew()
"""


def test_kill_nine_after_the_key_was_sent(machine: Machine):
    """A real process, killed when its key is registered and the answer is not read: the next one takes up that key."""
    path = str(machine.disk.path)
    command = [sys.executable, "-c", KILLED, machine.ehr.service.issuer, machine.ehr.client_id, path, "0"]
    done = run(command, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = machine.load()
    assert left.next is not None
    assert machine.works()
    assert machine.renewal().renew_if_due()
    assert machine.load().current.kid == left.next.kid


def test_a_new_key_that_gets_no_token_replaces_nothing(machine: Machine):
    """When the server says yes and then does not know the key, the old one stays in use and the reason is told."""
    old = machine.load().current

    def deaf(request: Request) -> Response:
        if request.url.endswith("client-secret"):
            return Response(200, (), b'{"expiration":"2027-01-31T12:00:00+00:00"}')
        return machine.send(request)

    client = Client(machine.ehr.service.issuer, machine.ehr.client_id, old, http=deaf)
    with pytest.raises(ServerRefused) as caught:
        KeyRenewal(client, machine, wait=lambda _: None).renew()
    assert caught.value.code == "invalid_client"
    assert client.wire.key.kid == machine.load().current.kid == old.kid
    assert machine.works()


def test_a_key_that_the_server_will_never_take_is_dropped(machine: Machine):
    """A refused key is not tried again: the next renewal begins with another, and the refusal is told."""
    old = machine.load().current
    taken = generate_key("ES256", old.kid)
    with pytest.raises(ServerRefused) as caught:
        machine.renewal(make_key=lambda: taken).renew()
    assert (caught.value.code, caught.value.status) == ("invalid_key", 409)
    assert (machine.load().current.kid, machine.load().next) == (old.kid, None)
    assert machine.renewal().renew().kid != old.kid


def test_a_network_that_is_away_ends_nothing(machine: Machine):
    """Without an answer the renewal fails, the old key works, and the next call goes on."""
    old = machine.load().current

    def away(request: Request) -> Response:
        if request.method == "POST" and request.url.endswith("client-secret"):
            raise TransportError(TransportError.TIMED_OUT)
        return machine.send(request)

    client = Client(machine.ehr.service.issuer, machine.ehr.client_id, old, http=away)
    with pytest.raises(Unreachable):
        KeyRenewal(client, machine).renew()
    begun = machine.load().next
    assert begun is not None
    assert machine.works()
    assert machine.renewal().renew().kid == begun.kid


def test_a_key_of_another_kind_is_renewed_alike(machine: Machine):
    """RSA for PS256 under a kid of its own is as good, as clients of the national service have it."""

    def make() -> SigningKey:
        return generate_key("PS256", "0123456789abcdef0123456789abcdef", rsa_bits=2048)

    assert machine.renewal(make_key=make).renew().alg == "PS256"
    assert machine.works()


BAD_LISTS: dict[str, Callable[[], bytes]] = {
    "no JSON": lambda: b"<html>",
    "no list": lambda: b"{}",
    "a list of texts": lambda: b'["a"]',
    "another's keys": lambda: b'[{"kid":"other","expiration":null}]',
    "an expiry that is no time": lambda: b'[{"kid":"KID","expiration":"soon"}]',
    "an expiry without offset": lambda: b'[{"kid":"KID","expiration":"2027-01-31T12:00:00"}]',
    "an expiry that is a number": lambda: b'[{"kid":"KID","expiration":7}]',
}


@pytest.mark.parametrize("name", BAD_LISTS)
def test_a_list_that_is_none_is_not_believed(name: str, machine: Machine):
    """Whatever the server says about the keys, nothing but a time or null for the key in use is taken."""
    key = machine.load().current
    body = BAD_LISTS[name]().replace(b"KID", key.kid.encode())

    def lying(request: Request) -> Response:
        return Response(200, (), body) if request.url.endswith("client-secret") else machine.send(request)

    client = Client(machine.ehr.service.issuer, machine.ehr.client_id, key, http=lying)
    with pytest.raises(BadAnswer):
        KeyRenewal(client, machine).renew_if_due()


def test_a_refusal_that_is_no_problem_document_is_told_as_what_it_is(machine: Machine):
    """A proxy's page is a bad answer with its status; a problem of somebody else's has a code all the same."""
    key = machine.load().current
    for body, kind in ((b"<html>", BadAnswer), (json.dumps({"title": "No"}).encode(), ServerRefused)):

        def refusing(request: Request, body: bytes = body) -> Response:
            return Response(403, (), body) if request.url.endswith("client-secret") else machine.send(request)

        client = Client(machine.ehr.service.issuer, machine.ehr.client_id, key, http=refusing)
        with pytest.raises(kind):
            KeyRenewal(client, machine).renew()
        assert machine.works()


def test_the_example_renews_a_key(machine: Machine):
    """The program in docs/examples renews once when told to, and says that there is time when it is asked again."""
    where = ("--issuer", machine.ehr.service.issuer, "--client-id", machine.ehr.client_id)
    command = [sys.executable, str(EXAMPLE), *where, "--key", str(machine.disk.path)]
    first = subprocess.run([*command, "--now"], capture_output=True, text=True, timeout=60, check=True)
    assert first.stdout == f"renewed: {machine.load().current.kid}\n"
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert second.stdout.startswith("good until ")
