"""J5: a key id is compared and nothing else; what is not a short printable string is refused."""

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.intakes import ASSERTION, CARRIER, PROOF, claims, header, key_of, present, refuses_all
from support.tokens import compact, key_for
from tillit_server.issuer.clients.rules import ClientError

KEY_IDS = ("../../dev/null", "' OR 1=1--", "\0", "a\0b", "k" * 10_000, 7, [], {}, "", None, True, "unknown")


@pytest.mark.parametrize("intake", [ASSERTION, CARRIER])
def test_j5_path_and_sql_tricks_name_just_another_unknown_key(intake: str, attacker: SwiftEhr):
    """No key id makes the service read a file, another table, or another client's key."""
    tokens = {
        str(kid)[:20]: compact(
            header(intake, attacker, kid=kid), claims(intake, attacker), key_of(intake, attacker)
        )
        for kid in KEY_IDS
    }
    assert refuses_all(attacker, intake, tokens) == {}


def test_j5_a_proof_may_name_its_key_but_only_by_a_short_string(attacker: SwiftEhr):
    """In a proof the key id has no meaning; one that is no short printable string is refused all the same."""
    odd = ("\0", "a\0b", "k" * 300, 7, [], {}, "", None, True)
    tokens = {
        str(kid)[:20]: compact(header(PROOF, attacker, kid=kid), claims(PROOF, attacker), attacker.dpop_key)
        for kid in odd
    }
    assert refuses_all(attacker, PROOF, tokens) == {}


def test_j5_without_a_key_id_every_key_of_the_client_is_tried(backstage: Backstage):
    """An absent key id is allowed (RFC 7515 §4.1.4): the client's own keys are tried, and no others."""
    ehr = backstage.client(key_for("ES256", 5), key_for("ES384", 5), key_for("ES256", 6))
    for key in (key_for("ES256", 5), key_for("ES384", 5), key_for("ES256", 6)):
        token = compact(header(ASSERTION, ehr, key, kid=...), claims(ASSERTION, ehr), key)
        assert present(ehr, ASSERTION, token).status == 200
    token = compact(header(ASSERTION, ehr, kid=...), claims(ASSERTION, ehr), key_for("ES256", 7))
    assert present(ehr, ASSERTION, token).status == 401


def test_j5_two_keys_of_one_name_are_not_registered(backstage: Backstage):
    """A key set that uses a key id twice never becomes a client."""
    twin = key_for("ES384", 0).public.jwk | {"kid": key_for("ES256").kid}
    with pytest.raises(ClientError, match="same kid"):
        backstage.register("twins", keys=[key_for("ES256").public.jwk, twin])


def test_j5_many_unknown_key_ids_leave_the_service_as_it_was(attacker: SwiftEhr):
    """A stream of unknown key ids is refused one by one, and the next good request succeeds."""
    for number in range(100):
        token = compact(header(ASSERTION, attacker, kid=f"kid-{number}"), claims(ASSERTION, attacker))
        assert present(attacker, ASSERTION, token).status == 401
    assert attacker.token(None, scope=SELF_SERVICE).status == 200
