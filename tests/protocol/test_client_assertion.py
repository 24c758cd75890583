"""Client assertions: rows C1, C4, C6 and C7 at the validator, tolerances by name, one body for every refusal."""

import unicodedata

import pytest

from support.assertions import ALL_TOLERANCES, KEY, assertion, check, refusal
from support.tokens import CLIENT, ISSUER, NOW, TOKEN_ENDPOINT, key_for
from tillit.protocol.client_assertion import AssertionProfile, make_assertion, read_assertion


def test_an_assertion_we_make_is_one_we_take():
    """Both ends agree, and the result says how long the jti must be remembered."""
    details = [{"type": "x", "a": 1}]
    made = make_assertion(
        KEY, CLIENT, ISSUER, now=NOW + 0.5, jti="one", assertion_details=details, extra={"e": 1}
    )
    taken = check(made)
    assert (taken.client_id, taken.jti, taken.iat, taken.exp) == (CLIENT, "one", NOW, NOW + 30)
    assert (taken.expires_at, taken.key, taken.details) == (NOW + 35, KEY.public, details)
    assert (taken.tolerances_used, taken.token, taken.claims["e"]) == ((), made, 1)
    assert read_assertion(made).unverified_client_id == CLIENT


AUDIENCES = {
    "token URL": TOKEN_ENDPOINT,
    "PAR URL": f"{ISSUER}/connect/par",
    "array of one": [ISSUER],
    "array of two": [ISSUER, "https://other.example"],
    "issuer with slash": f"{ISSUER}/",
    "upper-case host": "https://AS.example.no",
    "default port": f"{ISSUER}:443",
    "empty query": f"{ISSUER}?",
    "other server": "https://other.example",
    "missing": ...,
    "null": None,
    "object": {ISSUER: 1},
    "empty array": [],
    "array in array": [[ISSUER]],
    "prefix": ISSUER[:-1],
}


@pytest.mark.parametrize("name", AUDIENCES)
def test_c1_only_the_exact_issuer(name):
    """The audience is the issuer as one string; nothing that merely resembles it is accepted."""
    assert refusal(assertion(aud=AUDIENCES[name])).pointer == "payload.aud"


@pytest.mark.parametrize(
    ("audience", "tolerances"),
    [
        ([ISSUER], ("one_element_audience",)),
        (f"{ISSUER}/", ("trailing_slash_audience",)),
        (TOKEN_ENDPOINT, ("token_endpoint_audience",)),
        ([f"{ISSUER}/"], ("one_element_audience", "trailing_slash_audience")),
        ([TOKEN_ENDPOINT], ("one_element_audience", "token_endpoint_audience")),
    ],
)
def test_c1_each_tolerance_is_named(audience, tolerances):
    """What a profile forgives is accepted and named; with any one of the needed tolerances off it is not."""
    token = assertion(aud=audience)
    assert check(token, profile=ALL_TOLERANCES).tolerances_used == tolerances
    names = AssertionProfile.__dataclass_fields__
    for missing in tolerances:
        rest = {name: name not in {missing, "require_typ"} for name in names}
        assert refusal(token, profile=AssertionProfile(**rest)).pointer == "payload.aud"


@pytest.mark.parametrize(
    "name", [name for name in AUDIENCES if name not in {"token URL", "array of one", "issuer with slash"}]
)
def test_c1_tolerances_forgive_nothing_else(name):
    """Even with every tolerance on, other audiences are refused."""
    assert refusal(assertion(aud=AUDIENCES[name]), profile=ALL_TOLERANCES).pointer == "payload.aud"


@pytest.mark.parametrize("jti", [..., "", 7, "j" * 129, None, ["a"]])
def test_c4_jti_of_1_to_128_characters(jti):
    """A jti that is missing, no string or too long is refused."""
    assert refusal(assertion(jti=jti)).pointer == "payload.jti"


def test_c4_jti_is_compared_by_its_octets():
    """Case and Unicode form are kept, so that two spellings are two ids; 128 characters fit."""
    composed, split = (unicodedata.normalize(form, "å") for form in ("NFC", "NFD"))
    for jti in ("abc", "ABC", composed, split, "j" * 128):
        assert check(assertion(jti=jti)).jti == jti
    assert composed != split


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "other"},
        {"sub": "other"},
        {"sub": ...},
        {"iss": ...},
        {"sub": [CLIENT]},
        {"iss": [CLIENT], "sub": [CLIENT]},
        {"iss": "", "sub": ""},
        {"iss": "c" * 257, "sub": "c" * 257},
        {"iss": CLIENT.upper(), "sub": CLIENT.upper()},
        {"iss": f"{CLIENT} ", "sub": f"{CLIENT} "},
    ],
)
def test_c6_issuer_subject_and_client_are_one(changes):
    """Iss and sub are strings, the same, and the client's."""
    assert refusal(assertion(**changes)).pointer in {"payload.iss", "payload.sub"}


def test_c6_another_client_in_the_form():
    """An assertion of one client does not authenticate another."""
    assert refusal(assertion(), client_id="another").pointer == "payload.iss"


@pytest.mark.parametrize("typ", ["client-authentication+jwt", "JWT", ...])
def test_c7_types_that_are_accepted(typ):
    """The type of rfc7523bis, the general one and none are accepted; a strict switch leaves the first."""
    token = assertion({"typ": typ})
    assert check(token).jti
    strict = AssertionProfile(require_typ=True)
    if typ == "client-authentication+jwt":
        assert check(token, profile=strict).jti
    else:
        assert refusal(token, profile=strict).pointer == "header.typ"


@pytest.mark.parametrize(
    "typ",
    [
        "at+jwt",
        "dpop+jwt",
        "oauth-authz-req+jwt",
        "application/client-authentication+jwt",
        "APPLICATION/CLIENT-AUTHENTICATION+JWT",
        "jwt",
        "",
        None,
        7,
        ["JWT"],
    ],
)
def test_c7_types_that_are_refused(typ):
    """Tokens of other kinds are refused, with every tolerance on too."""
    assert refusal(assertion({"typ": typ})).pointer == "header.typ"
    assert refusal(assertion({"typ": typ}), profile=ALL_TOLERANCES).pointer == "header.typ"


def test_keys_and_algorithms():
    """Another key, an unknown kid, RS256 and a broken signature are refused with the one body."""
    other = key_for("ES256", 1)
    for token in (
        assertion(key=other),
        assertion({"kid": "unknown"}),
        assertion({"kid": "unknown"}, key=other),
        assertion(key=key_for("RS256")),
        f"{assertion().rpartition('.')[0]}.AAAA",
        "not a token",
        "",
    ):
        refusal(token)
    assert check(assertion({"kid": ...})).key == KEY.public


def test_details_and_their_legacy_name():
    """assertion_details is what counts; the other name only where the profile says so, and then named."""
    legacy = AssertionProfile(legacy_authorization_details=True)
    old = assertion(authorization_details={"type": "x"})
    assert check(old).details is None
    assert check(old, profile=legacy).details == {"type": "x"}
    assert check(old, profile=legacy).tolerances_used == ("legacy_authorization_details",)
    both = assertion(authorization_details={"type": "x"}, assertion_details={"type": "y"})
    assert check(both, profile=legacy).details == {"type": "y"}
    assert check(both, profile=legacy).tolerances_used == ()


def test_nothing_personal_is_shown():
    """Neither the assertion nor its result shows claims when printed."""
    token = assertion(assertion_details={"id": "13819012304"})
    unverified = read_assertion(token)
    assert "13819012304" not in f"{unverified!r}{check(token)!r}{unverified.jws!r}"
    assert token not in f"{unverified!r}{check(token)!r}"


def test_the_detail_is_for_the_log():
    """The reason, what was expected and what was found are kept beside the constant body."""
    answer = refusal(assertion(aud=TOKEN_ENDPOINT))
    assert (answer.expected, answer.found) == (ISSUER, TOKEN_ENDPOINT)
    assert "payload.aud" in answer.detail
