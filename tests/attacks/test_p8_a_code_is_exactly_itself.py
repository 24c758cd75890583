"""P8: a code or refresh token is for one client, one place and one minute, and no other text is like it."""

from collections.abc import Iterator

import pytest

from support.backstage import Backstage, SwiftEhr, Timeline
from support.ehr import Answer
from support.granted import introspect
from support.redeeming import Laid, client, code_form, good, lay, redeem, refresh_form, refused
from support.wire import Lane
from tillit.protocol.errors import Rejected
from tillit_server.issuer.own_tokens import verify_access_token


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in."""
    return client(backstage)


@pytest.fixture(scope="module")
def lane(ehr: SwiftEhr) -> Iterator[Lane]:
    """A connection that stays open: prefixes are many."""
    with Lane(ehr.service) as opened:
        yield opened


def near(text: str) -> list[str]:
    """Every shorter text, and everything that is almost this one."""
    prefixes = [text[:length] for length in range(1, len(text))]
    suffixes = [text[start:] for start in (1, 2, len(text) // 2)]
    longer = [text + "A", text + "=", text + " ", " " + text, text + text, "A" + text]
    other = [text.swapcase(), text.upper(), text.lower(), text[:-1] + ("A" if text[-1] != "A" else "B")]
    return [*prefixes, *suffixes, *longer, *other]


def test_p8_nothing_near_a_code_is_a_code(backstage: Backstage, ehr: SwiftEhr, lane: Lane):
    """All prefixes, other case, longer and changed texts are ``invalid_grant``; the code itself is good."""
    laid = lay(backstage, ehr)
    for text in near(laid.code):
        refused(lane.send(code_form(ehr, laid, code=text), ehr.proof()))
    good(redeem(ehr, laid))


def test_p8_nothing_near_a_refresh_token_is_one(backstage: Backstage, ehr: SwiftEhr, lane: Lane):
    """The same for refresh tokens, and for each of their three parts."""
    token = good(redeem(ehr, lay(backstage, ehr)))["refresh_token"]
    family, generation, mac = token.split(".")
    other = good(redeem(ehr, lay(backstage, ehr)))["refresh_token"].split(".")
    forged = [
        f"{family}.1.{mac}",
        f"{family}.00.{mac}",
        f"{family}.-0.{mac}",
        f"{family}.٠.{mac}",
        f"{family}.{generation}.{mac}.",
        f"{family}.{generation}.{mac}=",
        f"{family}.{generation}.{other[2]}",
        f"{other[0]}.{generation}.{mac}",
        f"{family}.999999999999.{mac}",
        "..",
        f"{family}..{mac}",
    ]
    for text in (*near(token), *forged):
        refused(lane.send(refresh_form(ehr, text), ehr.proof()))
    good(lane.send(refresh_form(ehr, token), ehr.proof()))


def test_p8_nothing_near_an_access_token_is_one(backstage: Backstage, ehr: SwiftEhr):
    """All prefixes, other case, longer and changed texts are refused where our own tokens are taken."""
    token = good(redeem(ehr, lay(backstage, ehr)))["access_token"]
    now = backstage.service.now()
    assert verify_access_token(token, backstage.services, now).audience == "example:ward"
    for text in near(token):
        with pytest.raises(Rejected):
            verify_access_token(text, backstage.services, now)
    assert introspect(ehr, token[:-1]).json == introspect(ehr, token + "A").json == {"active": False}


def test_p8_a_code_of_another_client(backstage: Backstage, ehr: SwiftEhr):
    """A code in the hands of another client is refused, and still good for its own."""
    laid = lay(backstage, ehr)
    other = client(backstage)
    unknown = refused(redeem(other, laid, code="B" * 43))
    assert refused(redeem(other, laid)) == unknown
    good(redeem(ehr, laid))


@pytest.mark.parametrize(
    "uri",
    [
        ...,
        "https://ehr.example/callback/",
        "https://ehr.example/Callback",
        "https://EHR.example/callback",
        "https://ehr.example:443/callback",
        "https://ehr.example/callback?",
        "https://evil.example/callback",
    ],
)
def test_p8_another_redirect_uri(uri: object, backstage: Backstage, ehr: SwiftEhr):
    """The redirect URI of the authorization request is named again, byte for byte (RFC 6749 4.1.3)."""
    laid = lay(backstage, ehr)
    refused(redeem(ehr, laid, redirect_uri=uri))
    good(redeem(ehr, laid))


def test_p8_no_code_and_no_refresh_token_is_written_down(backstage: Backstage, ehr: SwiftEhr):
    """Neither log nor audit holds one, whether it was taken, refused or came back (threat U5)."""
    laid = lay(backstage, ehr)
    token = good(redeem(ehr, laid))["refresh_token"]
    refused(redeem(client(backstage), laid, code=laid.code + "A"))
    good(ehr.send(refresh_form(ehr, token), ehr.proof()))
    refused(redeem(ehr, laid))
    backstage.awaited("issuer.token.refused", client_id=ehr.client_id)
    events = ("issuer.token.issued", "issuer.token.refused", "issuer.code.reused", "issuer.proof.key_changed")
    written = ehr.service.log() + str([entry for event in events for entry in backstage.entries(event)])
    assert laid.authorized.family in written
    for secret in (laid.code, laid.verifier, token.split(".")[2]):
        assert secret not in written


@pytest.fixture(scope="module")
def late(timeline: Timeline) -> SwiftEhr:
    """A client of the service whose clock stands still."""
    return client(timeline.backstage)


def redeemed_after(timeline: Timeline, ehr: SwiftEhr, seconds: float) -> tuple[Laid, Answer]:
    """A code, redeemed so many seconds after it was made."""
    instant = timeline.moment()
    laid = lay(timeline.backstage, ehr)
    timeline.at(instant + seconds)
    return laid, redeem(ehr, laid)


@pytest.mark.parametrize("seconds", [60, 61, 3600])
def test_p8_a_code_after_its_minute(seconds: float, timeline: Timeline, late: SwiftEhr):
    """At 60 seconds and later a code is ``invalid_grant``."""
    _, answer = redeemed_after(timeline, late, seconds)
    refused(answer)


def test_p8_a_code_within_its_minute(timeline: Timeline, late: SwiftEhr):
    """At 59 seconds it is good."""
    _, answer = redeemed_after(timeline, late, 59)
    good(answer)
