"""Twenty seconds of random input at every place where strangers' octets come in: refused, or rightly accepted.

The long runs of the same checks are `make fuzz` (atheris); their counts are in docs/evidence/ledger.jsonl.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import fuzzing
from support.ehr import ATTESTATION
from support.json_values import values
from support.mutations import TRICKY, altered, spoilt
from support.tokens import NOW, access_claims, assertion_claims, compact, proof_claims

# Wall-clock deadlines would fail on a busy machine; the checks measure the work themselves.
FUZZ = settings(
    derandomize=False,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)
SEEDS = [fuzzing.VECTORS / "examples" / name for name in ("specialist-care.json", "municipality.json")]
DOCUMENTS = [
    json.dumps(ATTESTATION).encode(),
    *(path.read_bytes() for path in SEEDS),
    b'{"a":1.5e3,"\\u0061b":"\\\\"}',
]
CLAIMS = [assertion_claims(assertion_details=ATTESTATION), access_claims(), proof_claims()]
HEADERS: list[Mapping[str, Any]] = [
    {"typ": "client-authentication+jwt", "alg": "ES256", "kid": "k"},
    {"alg": "PS256"},
    fuzzing.PROOF_HEADER,
]
ATTESTATIONS = fuzzing.attestations()
ACCEPTED = [value for value in ATTESTATIONS if fuzzing.attestation(value)]
NAMES = (
    "practitioner",
    "patients",
    "identifier",
    "id",
    "system",
    "code",
    "toa",
    "decision_ref",
    "type",
    "legal_entity",
)
ids = st.sampled_from(
    [
        "14857527039",
        "05825031016",
        "310000019",
        "311540025",
        "4299901",
        "LE",
        "TREAT",
        "BTG",
        NOW,
        NOW - 3599,
        NOW + 11,
        True,
    ]
)
attested = values | ids | st.dictionaries(st.sampled_from(NAMES), values | ids, max_size=4)


def as_octets(document: Any) -> bytes:
    """A document as JSON, unless it is octets already."""
    return document if isinstance(document, bytes) else json.dumps(document).encode("utf-8", "surrogatepass")


def test_what_is_good_is_accepted():
    """The checks are not empty: a good document, token, proof, form and attestation come through each of them."""
    assert fuzzing.json_text(DOCUMENTS[0])
    assert fuzzing.jws(compact(HEADERS[0], CLAIMS[0], fuzzing.KEY))
    assert fuzzing.proof([fuzzing.good_proof()])
    assert fuzzing.proof([fuzzing.good_proof()], with_nonce=True)
    assert fuzzing.form(fuzzing.good_environ(fuzzing.good_form()))
    assert fuzzing.attestation(ATTESTATION)


@settings(FUZZ, max_examples=1200)
@given(spoilt(DOCUMENTS) | altered(CLAIMS).map(as_octets) | st.binary(max_size=300))
def test_json_is_read_as_plain_code_reads_it(data: bytes):
    """Whatever the octets, ``read_json`` gives what the standard library gives, or refuses."""
    fuzzing.json_text(data)


@settings(FUZZ, max_examples=700)
@given(
    spoilt([as_octets(header) for header in HEADERS]) | altered(HEADERS).map(as_octets),
    spoilt([as_octets(claims) for claims in CLAIMS]) | altered(CLAIMS).map(as_octets),
    st.booleans(),
    st.data(),
)
def test_a_token_is_read_as_other_libraries_read_it(
    header: bytes, claims: bytes, allow_jwk: bool, data: st.DataObject
):
    """Whatever stands in a token, the gate reads what PyJWT and joserfc read, or refuses."""
    token = fuzzing.signed(header, claims)
    fuzzing.jws(token, allow_jwk=allow_jwk)
    fuzzing.jws(data.draw(spoilt([token.encode()])), allow_jwk=allow_jwk)


@settings(FUZZ, max_examples=700)
@given(
    altered([fuzzing.PROOF_HEADER]).map(as_octets) | st.just(as_octets(fuzzing.PROOF_HEADER)),
    altered([proof_claims(nonce=fuzzing.NONCES.issue(NOW))]).map(as_octets)
    | spoilt([as_octets(proof_claims())]),
    st.booleans(),
    st.data(),
)
def test_a_proof_is_accepted_only_when_other_libraries_verify_it(
    header: bytes, claims: bytes, with_nonce: bool, data: st.DataObject
):
    """Whatever a proof says, it is good for this address, method, minute and key, or refused as a proof."""
    token = fuzzing.signed(header, claims)
    fuzzing.proof([token], with_nonce=with_nonce)
    broken = data.draw(spoilt([token.encode(), fuzzing.good_proof().encode()])).decode("latin-1")
    fuzzing.proof(data.draw(st.sampled_from([[broken], [], [broken, token], [f"{token},{token}"]])))


text = st.text(st.characters(max_codepoint=255), max_size=12)
lengths = st.sampled_from(
    [..., "", "0", "7", "-1", "+7", " 7", "7 ", "1e1", "007", "65536", "65537", "9" * 40, "²", "0x7"]
)
variables = st.fixed_dictionaries(
    {},
    optional={
        "CONTENT_TYPE": st.sampled_from(
            [..., "", "text/plain", "application/x-www-form-urlencoded;charset=UTF-8"]
        )
        | text,
        "CONTENT_LENGTH": lengths | text,
        "QUERY_STRING": st.sampled_from(["", "a=b", "?", ...]),
        "HTTP_DPOP": st.sampled_from(["", ",", "a,b", " a ", ...]) | text,
        "HTTP_HOST": st.sampled_from(["a,b", ...]) | text,
        "HTTP_TRANSFER_ENCODING": text,
        "HTTP_CONTENT_ENCODING": st.sampled_from(["gzip", "identity", "IDENTITY", ""]) | text,
        "HTTP_AUTHORIZATION": text,
        "HTTP_X_FORWARDED_HOST": text,
    },
)
bodies = spoilt([fuzzing.good_form(), b"a=1&b=2", b"resource=a&resource=b"]) | st.lists(
    st.sampled_from(TRICKY), max_size=40
).map(b"".join)


@settings(FUZZ, max_examples=1200)
@given(bodies, variables)
def test_a_form_is_read_as_the_url_standard_reads_it(body: bytes, changes: dict[str, Any]):
    """Whatever the WSGI environment, a form is read like everywhere else or answered with a proper error."""
    fuzzing.form(fuzzing.good_environ(body, **changes))
    fuzzing.form(fuzzing.good_environ(body))


@settings(FUZZ, max_examples=700)
@given(altered(ATTESTATIONS, attested) | altered(ACCEPTED, ids) | attested)
def test_an_attestation_is_accepted_only_when_plain_code_agrees(value: Any):
    """Whatever is attested, reading and judging end with findings that name nobody, or a sound attestation."""
    fuzzing.attestation(value)


@pytest.mark.parametrize("size", [8_192, 24_576, 65_536])
@pytest.mark.parametrize(
    "piece",
    [
        b"[",
        b"{",
        b'{"":',
        b'"\\\\',
        b"\\u0000",
        b"1",
        b"%41",
        b"&",
        b"a=&",
        b"=",
        b".",
        b"eyJ",
        b"[[],",
        b"-",
        b"\xc3\xa5",
    ],
)
def test_what_repeats_itself_is_no_work(piece: bytes, size: int):
    """The same piece thousands of times is refused in less than 50 ms, wherever it is sent."""
    data = (piece * (size // len(piece) + 1))[:size]
    assert not fuzzing.json_text(data) or piece == b"1"
    assert not fuzzing.jws(data)
    assert not fuzzing.jws(fuzzing.signed(b'{"alg":"ES256"}', data)[:MAX])
    assert not fuzzing.proof([data.decode("latin-1")])
    assert not fuzzing.attestation(data.decode("latin-1"))
    fuzzing.form(fuzzing.good_environ(data))


MAX = 24_576
