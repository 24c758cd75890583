"""The issuer's keys: asked for when needed, kept when the issuer is away, never asked for too often."""

import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.stand_in import AUDIENCE, ISSUER, NOW, URL, StandInIssuer, World
from tillit.outbound import Request, Response, TransportError
from tillit.protocol.jose import generate_key
from tillit.protocol.metadata import SOURCE_HEADER
from tillit.verifier import Verifier


def test_keys_are_fetched_once_and_kept_for_max_age(world):
    """Within max-age the issuer is not asked again; at its end it is, once."""
    for _ in range(5):
        world.verify()
    assert world.issuer.key_fetches == 1

    world.now = NOW + 599
    world.verify()
    assert world.issuer.key_fetches == 1

    world.now = NOW + 600
    world.verify()
    world.verify()
    assert world.issuer.key_fetches == 2


@pytest.mark.parametrize(
    ("cache_control", "fresh"),
    [
        ("max-age=120", 120),
        ("public, max-age=120, immutable", 120),
        ('max-age="120"', 120),
        ("MAX-AGE=120", 120),
        ("max-age=0", 30),
        ("no-store", 30),
        ("no-cache, max-age=600", 30),
        ("max-age=99999999999999999999", 86_400),
        ("max-age=soon", 600),
        ("max-age=-5", 600),
        ("", 600),
    ],
)
def test_max_age_is_honoured_within_reason(cache_control, fresh):
    """What Cache-Control says holds, but never less than 30 seconds nor more than a day; ten minutes by default."""
    issuer = StandInIssuer()

    def send(request):
        answer = issuer(request)
        return Response(answer.status, (("cache-control", cache_control),), answer.body)

    world = World(http=send)
    fetches = []
    for age in (0, fresh - 1, fresh):
        world.now = NOW + age
        world.verifier.ping()
        fetches.append(issuer.key_fetches)

    assert fetches == [1, 1, 2]


def test_the_last_good_keys_serve_when_a_refresh_fails(world):
    """An issuer that is away does not stop the API: the last good set serves for a day, and not a second longer."""
    world.verify()
    world.issuer.failing = TransportError(TransportError.UNREACHABLE)
    for seconds in (600, 3600, 86_400):
        world.now = NOW + seconds
        world.verify()

    world.now = NOW + 86_401
    assert world.refusal().status == 503


def test_the_owner_sets_how_long_old_keys_serve():
    """max_stale bounds how long keys are used that could not be refreshed."""
    world = World(max_stale=3600)
    world.verify()
    world.issuer.failing = 500
    world.now = NOW + 3600
    world.verify()
    world.now = NOW + 3601

    assert world.refusal().status == 503


def test_a_failed_refresh_is_not_repeated_at_every_request(world):
    """While the issuer is away it is asked every ten seconds, not at every request."""
    world.verify()
    world.issuer.failing = 503
    world.now = NOW + 700
    before = world.issuer.key_fetches
    for _ in range(20):
        world.verify()
    assert world.issuer.key_fetches == before + 1

    world.now = NOW + 709
    world.verify()
    assert world.issuer.key_fetches == before + 1
    world.now = NOW + 710
    world.verify()
    assert world.issuer.key_fetches == before + 2


def test_the_issuer_comes_back(world):
    """When the issuer answers again its new keys are taken at the next turn."""
    world.verify()
    world.issuer.failing = 500
    world.now = NOW + 600
    world.verify()
    world.issuer.failing = None
    world.issuer.keys = [generate_key("ES256")]
    world.now = NOW + 610

    assert world.verify()


def test_j5_a_new_key_costs_one_fetch(world):
    """A token by a key that was published since is accepted after one fetch."""
    world.verify()
    new = generate_key("ES256")
    world.issuer.keys.append(new)

    assert world.verify(world.token(key=new))
    assert world.issuer.key_fetches == 2


def test_j5_after_an_unknown_key_the_issuer_is_left_alone_for_five_minutes(world):
    """One fetch for an unknown key id, then none for 300 seconds, then one again."""
    world.verify()
    stranger = generate_key("ES256")
    for seconds, fetches in ((0, 2), (1, 2), (299, 2), (300, 3), (301, 3)):
        world.now = NOW + seconds
        assert world.refusal(world.token(key=stranger)).error == "invalid_token"
        assert world.issuer.key_fetches == fetches


def test_j5_a_clock_set_back_does_not_prolong_the_rest(world):
    """After the clock was set back, a key that was published since is found at once."""
    world.verify()
    world.refusal(world.token(key=generate_key("ES256")))
    world.now = NOW - 30
    world.verify()
    new = generate_key("ES256")
    world.issuer.keys.append(new)

    assert world.verify(world.token(key=new))


def test_an_unknown_key_does_not_disturb_the_known_ones(world):
    """Strangers' key ids keep no honest client out, also while the issuer is away."""
    world.verify()
    world.issuer.failing = 500

    assert world.refusal(world.token(key=generate_key("ES256"))).error == "invalid_token"
    assert world.verify()


def test_a_key_that_was_withdrawn_stops_working(world):
    """A key that is no longer published is refused once the old set has run out."""
    old = world.issuer.keys[0]
    world.verify()
    world.issuer.keys = [generate_key("ES256")]
    world.now = NOW + 600

    assert world.refusal(world.token(key=old)).error == "invalid_token"


def test_one_fetch_for_many_threads():
    """Sixteen threads that need keys at once cause one fetch, and all of them get the keys."""
    issuer = StandInIssuer()
    release, arrived = threading.Event(), threading.Event()

    def slow(request):
        arrived.set()
        release.wait(30)
        return issuer(request)

    world = World(http=slow)
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(world.verifier.ping) for _ in range(16)]
        arrived.wait(30)
        release.set()
        assert [future.result(30) for future in waiting] == [1] * 16
    assert issuer.key_fetches == 1


def test_nobody_waits_for_a_refresh_while_there_are_keys(world):
    """While one thread refreshes, the others go on with the keys they have."""
    world.verify()
    release, arrived = threading.Event(), threading.Event()
    answer = world.issuer.__call__

    def slow(request):
        arrived.set()
        release.wait(30)
        return answer(request)

    world.verifier._keys._send = slow
    world.now = NOW + 600
    with ThreadPoolExecutor(1) as pool:
        refreshing = pool.submit(world.verifier.ping)
        arrived.wait(30)
        assert world.verify()
        release.set()
        assert refreshing.result(30) == 1


def test_the_owner_may_name_the_key_set():
    """With jwks_uri no metadata is asked for."""
    world = World(jwks_uri=f"{ISSUER}/jwks")
    world.verify()

    assert world.issuer.asked == [f"{ISSUER}/jwks"]


def test_a_clock_set_back_asks_again(world):
    """A key set that seems to come from the future is fetched anew, and failures rest seconds, not hours."""
    fetches = []
    for offset, failing in ((0, None), (-3600, None), (0, 500), (-7200, None)):
        world.now, world.issuer.failing = NOW + offset, failing
        world.verifier.ping()
        fetches.append(world.issuer.key_fetches)

    assert fetches == [1, 2, 3, 4]


def test_keys_over_a_real_socket():
    """With nothing injected the verifier fetches metadata and keys over HTTP, keeps them, and notices a new key."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = issuer(Request("GET", issuer.issuer + self.path))
            self.send_response(answer.status)
            for name, value in (*answer.headers, ("Content-Length", str(len(answer.body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_):
            pass

    issuer = StandInIssuer()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.issuer = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        verifier = Verifier(issuer.issuer, AUDIENCE, clock=lambda: NOW)
        world = World()
        for key in (issuer.keys[0], issuer.keys[0], generate_key("ES384")):
            issuer.keys = [*issuer.keys, key] if key not in issuer.keys else issuer.keys
            token = issuer.token(world.dpop_key.public.thumbprint, key=key)
            headers = [("Authorization", f"DPoP {token}"), ("DPoP", world.proof(token))]
            assert verifier.verify("GET", URL, headers).client_id == "ehr-nordfjell"
        server.shutdown()
    assert [url.rpartition("/")[2] for url in issuer.asked] == ["openid-configuration", "jwks", "jwks"]


@pytest.mark.parametrize(
    ("audience", "how", "said"),
    [
        (AUDIENCE, {}, [AUDIENCE]),
        (AUDIENCE, {"name_source": False}, []),
        ("a b", {}, []),
        ("\u00e6", {}, []),
        ("x\r\nHost: y", {}, []),
        ("x" * 201, {}, []),
    ],
)
def test_the_issuer_is_told_who_fetches_its_keys(audience, how, said):
    """The name of the API, with the request for keys alone; nothing that is no header, and nothing if so wished."""
    issuer, named = StandInIssuer(), {}

    def send(request):
        named[request.url] = [value for name, value in request.headers if name == SOURCE_HEADER]
        return issuer(request)

    Verifier(ISSUER, audience, http=send, **how).ping()
    assert named.pop(f"{ISSUER}/jwks") == said
    assert set(map(tuple, named.values())) == {()}
