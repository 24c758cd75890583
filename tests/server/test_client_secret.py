"""Self-service over HTTP: a client renews its own key and sees which it has."""

import json
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, WARD_LIST, Backstage, SwiftEhr, eventually
from support.ehr import Answer
from support.granted import grant, login_client
from support.self_service import KeyOwner, problem
from support.service import Service, http
from support.two_parts import TwoParts
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import SigningKey, generate_key, private_jwk
from tillit_server.issuer.client_secret import renew_client_key
from tillit_server.issuer.clients.keys import MAX_KEYS
from tillit_server.issuer.clients.registration import remove_key
from tillit_server.issuer.request import Request
from tillit_server.issuer.steps import Refused

YEAR = 31_536_000
FORTNIGHT = 1_209_600


@pytest.fixture
def owner(backstage: Backstage) -> KeyOwner:
    """A client with one key, which an operator registered and which never expires."""
    return KeyOwner.of(backstage)


@cache
def large_key() -> SigningKey:
    """A key as the libraries make it; it takes seconds, so every client here has the same."""
    return generate_key("PS256", secrets.token_hex(16), rsa_bits=4096)


def as_dotnet(key: Any) -> bytes:
    """The body of the national C# library: an object, its members in that library's order."""
    jwk = key.public.jwk
    return json.dumps({name: jwk[name] for name in ("kty", "e", "use", "kid", "alg", "n")}).encode()


def as_java(key: Any) -> bytes:
    """The body of the national Java library: an object, without blanks, as that library prints it."""
    jwk = key.public.jwk
    return json.dumps(
        {name: jwk[name] for name in ("kty", "e", "use", "kid", "alg", "n")}, separators=(",", ":")
    ).encode()


def as_text(key: Any) -> bytes:
    """The body of the national samples: a text that holds the JWK as JSON."""
    return json.dumps(as_dotnet(key).decode()).encode()


@pytest.mark.parametrize("written", [as_dotnet, as_java, as_text])
def test_the_keys_of_national_libraries_are_taken(written: Callable[[Any], bytes], owner: KeyOwner):
    """RSA-4096 for PS256 under a kid of 32 hex digits, in each of the three bodies, is good at once."""
    key = large_key()
    answer = owner.post(written(key), raw=True, headers={"Content-Type": "application/json; charset=utf-8"})
    assert answer.status == 200, answer.body
    assert set(answer.json) == {"expiration"}
    expiration = datetime.fromisoformat(answer.json["expiration"])
    assert expiration.utcoffset() == timedelta(0)
    assert answer.json["expiration"].endswith("+00:00")
    assert expiration.timestamp() == pytest.approx(owner.ehr.service.now() + YEAR, abs=60)
    assert all(owner.works(key) for _ in range(8))
    assert owner.works(owner.ehr.key)


def test_the_keys_are_listed_as_the_national_service_lists_them(owner: KeyOwner):
    """Expiry, kid, thumbprint, origin and public half; an operator's key may have no expiry."""
    key = generate_key("ES256")
    told = owner.renew(key).json["expiration"]
    answer = owner.listed()
    old, new = answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    assert old == {
        "expiration": None,
        "kid": owner.ehr.key.kid,
        "jwkThumbprint": owner.ehr.key.public.thumbprint,
        "origin": "Gui",
        "publicJwk": owner.ehr.key.public.jwk,
    }
    assert (new["expiration"], new["kid"], new["origin"]) == (told, key.kid, "Api")


PUBLIC = generate_key("ES256", "new")
WEAK = generate_key("PS256", "weak", rsa_bits=2048).public.jwk | {"n": "u1W"}
BAD: dict[str, tuple[Any, str, str]] = {
    "private members": (private_jwk(PUBLIC), "invalid_key", "jwk.d: private"),
    "a symmetric key": ({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}, "invalid_key", "jwk.k: private"),
    "an algorithm that is not allowed": (PUBLIC.public.jwk | {"alg": "RS256"}, "invalid_key", "jwk.alg"),
    "no algorithm at all": (PUBLIC.public.jwk | {"alg": "none"}, "invalid_key", "jwk.alg"),
    "a weak key": (WEAK, "invalid_key", "jwk.n"),
    "a key for encryption": (PUBLIC.public.jwk | {"use": "enc"}, "invalid_key", "jwk.use"),
    "a kid that is a number": (PUBLIC.public.jwk | {"kid": 7}, "invalid_key", "jwk.kid"),
    "an unknown type": ({"kty": "XYZ"}, "invalid_key", "jwk.kty"),
    "nothing": ({}, "invalid_key", "jwk.kty"),
    "a list": ([PUBLIC.public.jwk], "invalid_request", "body: a JSON Web Key"),
    "a text in a text": (
        json.dumps(json.dumps(PUBLIC.public.jwk)),
        "invalid_request",
        "body: a JSON Web Key",
    ),
    "a text that is no JSON": ("-----BEGIN PUBLIC KEY-----", "invalid_request", "body: not valid JSON"),
    "null": (None, "invalid_request", "body: a JSON Web Key"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_key_is_refused_with_its_reason(name: str, backstage: Backstage, owner: KeyOwner):
    """A problem document names the member at fault; nothing is registered, and the audit knows of it."""
    body, code, reason = BAD[name]
    answer = owner.post(body)
    assert problem(answer, 400, code).startswith(reason)
    assert owner.kids() == [owner.ehr.key.kid]
    (entry,) = backstage.awaited("issuer.resource.refused", client_id=owner.ehr.client_id)
    assert (entry.public["code"], entry.public["error_id"]) == (code, answer.headers["Error-Id"])


def test_a_private_key_that_is_sent_is_an_alarm(backstage: Backstage, owner: KeyOwner):
    """Whoever sees the request has that key: the audit says so, and holds no part of it."""
    assert owner.post(private_jwk(PUBLIC)).status == 400
    (entry,) = backstage.awaited("issuer.key.exposed", client_id=owner.ehr.client_id)
    assert (entry.public["where"], entry.public["alarm"]) == ("registration", True)
    assert private_jwk(PUBLIC)["d"] not in json.dumps(entry.public)


def test_a_name_and_a_key_are_used_once(owner: KeyOwner):
    """A kid in use is refused, by whichever key, and so is a key under another kid."""
    same_name = generate_key("ES256", owner.ehr.key.kid)
    assert problem(owner.renew(same_name), 409, "invalid_key").startswith("jwk.kid: in use")
    same_key = {**owner.ehr.key.public.jwk, "kid": "other"}
    assert problem(owner.post(same_key), 409, "invalid_key").startswith("jwk: this key is registered")
    new = generate_key("ES256")
    assert owner.renew(new).status == 200
    assert problem(owner.renew(new), 409, "invalid_key").startswith("jwk.kid: in use")


def sent_by(owner: KeyOwner, **headers: str) -> Answer:
    return owner.post(dict(PUBLIC.public.jwk), headers=headers)


def with_token(owner: KeyOwner, token: str) -> Answer:
    return sent_by(owner, Authorization=f"DPoP {token}", DPoP=owner.proof("POST", token=token))


def test_only_a_bound_token_for_self_service_will_do(backstage: Backstage, owner: KeyOwner):
    """No token, another API's, one shown as Bearer, a login's, or a proof that does not fit: nothing is registered."""
    assert problem(sent_by(owner, Authorization="", DPoP=""), 401, "invalid_token")
    assert problem(sent_by(owner, Authorization=f"Bearer {owner.token}"), 401, "invalid_token")
    assert problem(sent_by(owner, DPoP=""), 401, "invalid_dpop_proof")
    assert problem(sent_by(owner, DPoP=owner.proof("GET")), 401, "invalid_dpop_proof")
    foreign = owner.proof("POST", key=generate_key("ES256"))
    assert problem(sent_by(owner, DPoP=foreign), 401, "invalid_dpop_proof")
    ward = owner.ehr.token(None, scope=WARD_LIST).json["access_token"]
    assert problem(with_token(owner, ward), 403, "insufficient_scope")
    assert owner.kids() == [owner.ehr.key.kid]


def test_a_token_for_another_api_renews_no_keys(backstage: Backstage, owner: KeyOwner):
    """A scope of this name at another API gives nothing here: the token must be for self-service (RFC 9068 §4)."""
    good = read_jws(owner.token).claims
    signer = backstage.services.signer
    for audience, status in (("nhn:selvbetjening", 200), ("nhn:phr", 401), ("nhn:selvbetjening2", 401)):
        token = signer.sign("at+jwt", {**good, "aud": audience}, "ES256")[0]
        answer = owner.listed(token)
        assert answer.status == status, answer.body
        if status == 401:
            assert "for nhn:selvbetjening needed" in problem(answer, 401, "invalid_token")


def test_a_login_renews_no_keys(backstage: Backstage):
    """A token that speaks of a practitioner is not the client's own, whatever its scope."""
    ehr = login_client(backstage)
    granted = grant(backstage, ehr)
    owner = KeyOwner(ehr, granted.access_token(scopes=(SELF_SERVICE,), audience="nhn:selvbetjening"))
    assert "got by client_credentials" in problem(owner.listed(), 401, "invalid_token")


def test_a_proof_is_good_once(owner: KeyOwner):
    """The same request twice registers one key and is refused the second time, whatever else it says."""
    proof = owner.proof("POST")
    assert sent_by(owner, DPoP=proof).status == 200
    again = owner.post(dict(generate_key("ES256").public.jwk), headers={"DPoP": proof})
    assert "used before" in problem(again, 401, "invalid_dpop_proof")
    assert len(owner.kids()) == 2


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("PUT", {}, 405),
        ("DELETE", {}, 405),
        ("POST", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ("POST", {"Content-Type": "application/json; charset=utf-16"}, 415),
        ("POST", {"Content-Encoding": "gzip"}, 415),
    ],
)
def test_what_is_no_such_request_is_a_problem_too(
    method: str, headers: dict[str, str], status: int, owner: KeyOwner
):
    """Another method, another kind of body: a JSON object is answered, as client libraries need."""
    sent = {"Content-Type": "application/json", **headers}
    answer = Answer(*http(method, owner.url, headers=sent, body=b"{}"))
    assert problem(answer, status, "invalid_request")


def test_a_query_and_a_large_body_are_refused(owner: KeyOwner):
    """Nothing is taken from the address, and nobody reads more than a key can be."""
    answer = Answer(*http("GET", owner.url + "?access_token=x"))
    assert problem(answer, 400, "invalid_request")
    assert problem(owner.post(b" " * 70_000, raw=True), 413, "invalid_request")


def test_a_renewal_is_in_the_audit_before_its_answer(backstage: Backstage, owner: KeyOwner):
    """Who renewed which key by which token until when, and nothing of the key itself."""
    key = generate_key("ES256")
    assert owner.renew(key).status == 200
    (entry,) = backstage.entries("registry.client_key.added", client_id=owner.ehr.client_id)
    assert (entry.public["kid"], entry.public["thumbprint"]) == (key.kid, key.public.thumbprint)
    assert (entry.public["operator"], entry.public["reason"]) == ("client", "renewal")
    assert entry.public["expires_at"] == pytest.approx(backstage.service.now() + YEAR, abs=60)
    assert entry.public["token_jti"]


def test_renewals_at_once_lose_nothing(backstage: Backstage, owner: KeyOwner):
    """Eight keys sent at the same moment to two workers are all registered, each once."""
    keys = [generate_key("ES256") for _ in range(8)]
    assert owner.token
    with ThreadPoolExecutor(len(keys)) as pool:
        answers = list(pool.map(owner.renew, keys))
    assert [answer.status for answer in answers] == [200] * len(keys)
    expected = {owner.ehr.key.kid, *(key.kid for key in keys)}
    assert set(owner.kids()) == expected
    entries = backstage.entries("registry.client_key.added", client_id=owner.ehr.client_id)
    assert sorted(entry.public["kid"] for entry in entries) == sorted(key.kid for key in keys)


def test_one_key_sent_many_times_at_once_is_registered_once(owner: KeyOwner):
    """Of eight requests with the same key exactly one is answered with 200, the others with 409."""
    key = generate_key("ES256")
    assert owner.token
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(owner.renew, [key] * 8))
    assert sorted(answer.status for answer in answers) == [200, *[409] * 7]


def test_when_there_are_too_many_the_oldest_unproven_key_goes(backstage: Backstage):
    """Operator's keys and a key that was used stay; of the others the oldest makes room, and the audit knows."""
    keys = [generate_key("ES256") for _ in range(MAX_KEYS)]
    jwks = [{**key.public.jwk, "origin": "Api"} for key in keys]
    jwks[0]["origin"], jwks[1]["proven_at"] = "Gui", backstage.service.now()
    owner = KeyOwner.of(backstage, *keys, keys=jwks)
    new = generate_key("ES256")
    assert owner.renew(new).status == 200
    assert set(owner.kids()) == {new.kid, *(key.kid for key in keys)} - {keys[2].kid}
    (entry,) = backstage.entries("registry.client_key.added", kid=new.kid)
    assert entry.public["dropped"] == [keys[2].kid]
    assert not owner.works(keys[2])


def test_operators_keys_make_no_room(backstage: Backstage):
    """A client with as many operator's keys as there may be is told so."""
    owner = KeyOwner.of(backstage, *(generate_key("ES256") for _ in range(MAX_KEYS)))
    assert "none of them may make room" in problem(owner.renew(generate_key("ES256")), 409, "invalid_key")


def test_the_first_use_of_a_new_key_begins_the_overlap(backstage: Backstage, owner: KeyOwner):
    """Until it is used the old key stays as it was; from then on it has a fortnight."""
    key = generate_key("ES256")
    assert owner.renew(key).status == 200
    assert owner.listed().json[0]["expiration"] is None
    assert backstage.entries("registry.client_key.proven", client_id=owner.ehr.client_id) == []
    owner.use(key)
    (entry,) = backstage.awaited("registry.client_key.proven", client_id=owner.ehr.client_id)
    assert (entry.public["kid"], entry.public["shortened"]) == (key.kid, [owner.ehr.key.kid])
    ends = eventually(lambda: owner.listed().json[0]["expiration"])
    assert datetime.fromisoformat(ends).timestamp() == pytest.approx(
        backstage.service.now() + FORTNIGHT, abs=60
    )


def test_a_token_bound_to_the_new_key_proves_it_at_once(backstage: Backstage):
    """Who signs the renewal's own proof with the new key has shown it, and the overlap begins there and then."""
    key = generate_key("ES256")
    ehr = backstage.client()
    owner = KeyOwner(SwiftEhr(ehr.service, ehr.client_id, ehr.key, key))
    assert owner.renew(key).status == 200
    (entry,) = backstage.entries("registry.client_key.proven", client_id=ehr.client_id)
    assert entry.public["reason"] == "signed its own renewal"
    assert entry.public["shortened"] == [ehr.key.kid]


def test_old_keys_end_with_the_overlap(frozen_service: Service):
    """A second before the overlap is over an old key is good, and at that instant it is not."""
    backstage = Backstage(frozen_service)
    now, key = frozen_service.now(), generate_key("ES256")
    ehr = backstage.client()
    owner = KeyOwner(SwiftEhr(frozen_service, ehr.client_id, ehr.key, key))
    assert owner.renew(key).status == 200
    for instant, good in ((FORTNIGHT - 1, True), (FORTNIGHT, False)):
        frozen_service.set_clock(now + instant)
        assert owner.works(key)
        assert owner.works(ehr.key) == good
    backstage.close()


def test_a_token_from_before_a_removal_renews_nothing(backstage: Backstage):
    """When an operator takes a stolen key away, its thief cannot bring in another with a token that he still has."""
    stolen, kept = generate_key("ES256"), generate_key("ES256")
    owner = KeyOwner.of(backstage, stolen, kept)
    assert owner.kids() == [stolen.kid, kept.kid]
    remove_key(backstage.services, owner.ehr.client_id, stolen.kid, operator="kari", reason="stolen")
    answer = owner.renew(generate_key("ES256"))
    assert "older than the last removal" in problem(answer, 401, "invalid_token")
    assert eventually(lambda: not owner.works(stolen))
    assert owner.works(kept)
    (entry,) = backstage.entries("registry.client_key.removed", client_id=owner.ehr.client_id)
    assert (entry.public["kid"], entry.public["operator"]) == (stolen.kid, "kari")


def test_a_lost_race_is_no_replay_of_itself(backstage: Backstage, owner: KeyOwner):
    """Where ids and records lie on two servers, a renewal that loses a race is still answered, and its proof is spent."""
    store = TwoParts(backstage.services.store, races=1)
    services = replace(backstage.services, store=store)
    key = generate_key("ES256")
    sent = Request(
        owner.url,
        {},
        dpop=(owner.proof("POST"),),
        authorization=f"DPoP {owner.token}",
        body=json.dumps(key.public.jwk).encode(),
    )
    assert renew_client_key(sent, services).status == 200
    assert store.races == 0
    with pytest.raises(Refused) as caught:
        renew_client_key(replace(sent, body=json.dumps(generate_key("ES256").public.jwk).encode()), services)
    assert caught.value.error.code == "invalid_dpop_proof"
