"""J3: a key verifies its own algorithm and no other, whatever the header says."""

from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.intakes import ASSERTION, PROOF, claims, header, present, proper_refusal
from support.tokens import compact, key_for
from tillit.protocol.jose import ALGORITHMS, SigningKey

KEYED = ("ES256", "ES384", "ES512", "PS256", "EdDSA")


def signed_with(intake: str, ehr: SwiftEhr, key: SigningKey, stated: str, used: SigningKey) -> str:
    """A token of `key` that states one algorithm and was signed with another."""
    changes: dict[str, Any] = {"alg": stated}
    if intake == PROOF:
        changes["jwk"] = {**key.public.bare_jwk, "alg": key.alg}
    return compact(header(intake, ehr, key, **changes), claims(intake, ehr), used)


@pytest.mark.parametrize("intake", [ASSERTION, PROOF])
def test_j3_only_the_diagonal_of_algorithms_and_keys_passes(intake: str, backstage: Backstage):
    """Every algorithm with every registered key is refused but for the key's own."""
    ehr = backstage.client(*(key_for(alg) for alg in KEYED))
    wrong = {}
    for alg in KEYED:
        for stated in (*ALGORITHMS, "RS256"):
            answer = present(ehr, intake, signed_with(intake, ehr, key_for(alg), stated, key_for(alg)))
            fault = None if answer.status == 200 else proper_refusal(intake, answer)
            if fault or (answer.status == 200) != (stated == alg):
                wrong[alg, stated] = (answer.status, fault)
    assert wrong == {}


@pytest.mark.parametrize("intake", [ASSERTION, PROOF])
@pytest.mark.parametrize("used", ["PS384", "PS512", "RS256"])
def test_j3_a_true_signature_by_another_algorithm_of_the_key_is_refused(
    intake: str, used: str, backstage: Backstage
):
    """An RSA key registered for PS256 does not verify what it signed as PS384, PS512 or RS256."""
    registered = key_for("PS256")
    ehr = backstage.client(registered)
    other = SigningKey(registered.kid, used, registered.public, registered.material)
    for stated in (used, "PS256"):
        answer = present(ehr, intake, signed_with(intake, ehr, registered, stated, other))
        assert proper_refusal(intake, answer) is None


def test_j3_rs256_needs_the_clients_own_setting(backstage: Backstage):
    """A key without an algorithm of its own signs PS256 for everybody, RS256 only where the client may."""
    key = key_for("PS256")
    old = SigningKey(key.kid, "RS256", key.public, key.material)
    bare = [{name: value for name, value in key.public.jwk.items() if name != "alg"}]
    for allowed in (True, False):
        ehr = backstage.client(key, keys=bare, allow_rs256=allowed)
        assert present(ehr, ASSERTION, ehr.assertion()).status == 200
        answer = present(ehr, ASSERTION, ehr.assertion(key=old))
        assert answer.status == (200 if allowed else 401)
