"""C9: unknown, disabled and revoked clients and foreign keys get answers that cannot be told apart."""

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.ehr import Answer, Ehr
from support.intakes import AUTHENTICATING, INVALID_CLIENT, address, fields, well_formed
from support.tokens import compact
from tillit.protocol.jose import generate_key
from tillit_server.issuer.clients.registration import remove_key

VARYING = {"date", "error-id"}


@pytest.fixture(scope="module", params=AUTHENTICATING)
def failures(request: pytest.FixtureRequest, backstage: Backstage) -> dict[str, Answer]:
    """Every way in which authentication fails at an endpoint, and its answer."""
    intake: str = request.param

    def asked(ehr: Ehr, assertion: str | None = None) -> Answer:
        form = fields(intake, ehr, assertion or ehr.assertion())
        return ehr.send(form, "no proof", url=address(intake, ehr))

    good, disabled = backstage.client(), backstage.client()
    backstage.set_disabled(disabled.client_id, disabled=True)
    old, mine, theirs = generate_key("ES256"), generate_key("ES256", "one"), generate_key("ES256", "one")
    past = [{**old.public.jwk, "exp": backstage.service.now() - 1}]
    expired = backstage.client(old, keys=past)
    revoked = backstage.client(generate_key("ES256"))
    backstage.register(revoked.client_id, generate_key("ES256"), replace=True)
    kept, stolen = generate_key("ES256"), generate_key("ES256")
    removed = backstage.client(stolen, kept)
    remove_key(backstage.services, removed.client_id, stolen.kid, operator="test", reason="test")
    same_kid = backstage.client(mine)
    backstage.client(theirs)
    unknown = SwiftEhr(backstage.service, "nobody-knows", generate_key("ES256"))
    odd = SwiftEhr(backstage.service, "'; DROP TABLE record; --", generate_key("ES256"))
    eventually(lambda: asked(disabled).status == asked(revoked).status == asked(removed).status == 401)
    return {
        "unknown client": asked(unknown),
        "odd client id": asked(odd),
        "disabled client": asked(disabled),
        "expired key": asked(expired),
        "revoked key": asked(revoked),
        "removed key": asked(removed),
        "another client's key of that name": asked(same_kid, same_kid.assertion(key=theirs)),
        "unknown key": asked(good, good.assertion(key=generate_key("ES256"))),
        "bad signature": asked(good, good.assertion()[:-6] + "AAAAAA"),
        "expired": asked(good, good.assertion(iat=1, nbf=1, exp=31)),
        "wrong audience": asked(good, good.assertion(aud="https://other.example")),
        "unsigned": asked(good, compact({"alg": "none"}, {"iss": good.client_id, "sub": good.client_id})),
        "no assertion": asked(good, "x"),
    }


def test_c9_every_failure_has_the_same_body(failures: dict[str, Answer]):
    """The body is the same to the byte, and so are status and headers but for date and error id."""
    assert {name: answer.status for name, answer in failures.items() if answer.status != 401} == {}
    assert {answer.body for answer in failures.values()} == {INVALID_CLIENT}
    assert all(well_formed(answer) for answer in failures.values())
    headers = {
        tuple(
            sorted(
                (name.lower(), value) for name, value in answer.headers.items() if name.lower() not in VARYING
            )
        )
        for answer in failures.values()
    }
    assert len(headers) == 1


def test_c9_the_log_tells_the_reasons_apart(failures: dict[str, Answer], backstage: Backstage):
    """Every failure has an error id of its own, under which the log names its reason."""
    ids = {answer.headers["Error-Id"] for answer in failures.values()}
    assert len(ids) == len(failures)
    log = backstage.service.log().splitlines()
    details = {
        name: next(line for line in log if answer.headers["Error-Id"] in line).partition('"detail":')[2]
        for name, answer in failures.items()
    }
    assert "unknown client" in details["unknown client"]
    assert "disabled" in details["disabled client"]
    assert "no key" in details["expired key"]
    assert "no key" in details["removed key"]
    assert "signature" in details["bad signature"]
    assert "signature" in details["another client's key of that name"]


def test_c9_a_key_works_until_it_expires(backstage: Backstage):
    """A key with an expiry in the future authenticates its client."""
    key = generate_key("ES256")
    ehr = backstage.client(key, keys=[{**key.public.jwk, "exp": backstage.service.now() + 600}])
    assert ehr.token(None, scope=SELF_SERVICE).status == 200
