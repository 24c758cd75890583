"""Errors: what the other side sees and what only the log does."""

import pytest

from tillit.protocol import errors
from tillit.protocol.errors import OAuthError, Rejected, redacted


def test_the_body_holds_two_members_only():
    """Detail, pointer, expected and found never leave with the answer."""
    error = OAuthError(
        "invalid_request",
        "seen",
        detail="unseen",
        pointer="p",
        expected="e",
        found="f",
        rule="ATT-1",
        clock_difference=1.5,
    )
    assert error.body() == {"error": "invalid_request", "error_description": "seen"}
    assert (error.status, error.headers, str(error)) == (400, (), "invalid_request: unseen")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('say "no"', "say 'no'"),
        ("back\\slash", "back/slash"),
        ("line\r\nbreak\x7f", "line??break?"),
        ("blåbær 🫐", "bl?b?r ?"),
        ("[]{}!#~", "[]{}!#~"),
    ],
)
def test_descriptions_keep_to_the_grammar(text, shown):
    """Characters that RFC 6749 forbids in a description are replaced."""
    assert OAuthError("x", text).description == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("a\nb", "a?b"),
        ("x" * 65, "x" * 61 + "..."),
        ("x" * 64, "x" * 64),
        (7, "7"),
        (None, "None"),
        (True, "True"),
        (1.5, "1.5"),
        (10**400, "int"),
        (float("inf"), "float"),
        ({"id": "13819012304"}, "dict"),
        (["13819012304"], "list"),
    ],
)
def test_what_was_found_is_redacted(value, shown):
    """At most 64 printable characters; of composed values only the type."""
    assert redacted(value) == shown
    assert redacted(10**5000) == "int"
    assert Rejected("r", found=value).found == shown
    assert Rejected("r").found is None


def test_a_refusal_becomes_an_oauth_error():
    """The caller decides the code; everything known goes along."""
    refusal = Rejected("expired", "payload.exp", expected="e", found="f", clock_difference=-3.0)
    error = OAuthError.from_rejected("invalid_dpop_proof", refusal, 400, "DPoP proof: ")
    assert error.description == "DPoP proof: payload.exp: expired"
    assert (error.pointer, error.expected, error.found, error.clock_difference) == (
        "payload.exp",
        "e",
        "f",
        -3.0,
    )
    assert str(Rejected("whole")) == "whole"


def test_client_authentication_fails_in_one_way():
    """Whatever the reason, the body of invalid_client is the same, octet for octet."""
    one = errors.invalid_client("unknown client")
    other = errors.invalid_client_from(Rejected("expired", "payload.exp", clock_difference=-60.0))
    assert one.body() == other.body()
    assert (one.status, other.status) == (401, 401)
    assert (other.detail, other.pointer, other.clock_difference) == (
        "payload.exp: expired",
        "payload.exp",
        -60.0,
    )


def test_small_constructors():
    """Each carries the code, status and headers its RFC asks for."""
    nonce = errors.use_dpop_nonce("n")
    assert (nonce.code, nonce.status, nonce.headers) == ("use_dpop_nonce", 400, (("DPoP-Nonce", "n"),))
    away = errors.temporarily_unavailable("store away", detail="why", retry_after=5)
    assert (away.code, away.status, away.headers) == ("temporarily_unavailable", 503, (("Retry-After", "5"),))
    details = errors.invalid_authorization_details("ATT-4", "patients[0]", "repeated")
    assert (details.description, details.rule) == ("ATT-4: patients[0]: repeated", "ATT-4")
    for make, code in (
        (errors.invalid_request, "invalid_request"),
        (errors.invalid_grant, "invalid_grant"),
        (errors.invalid_scope, "invalid_scope"),
        (errors.invalid_dpop_proof, "invalid_dpop_proof"),
    ):
        assert (make("why").code, make("why").status, make("why").headers) == (code, 400, ())
