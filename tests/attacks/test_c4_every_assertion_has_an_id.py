"""C4: the id of an assertion is a string of 1 to 128 characters, compared byte for byte, per client."""

import unicodedata

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.intakes import ASSERTION, AUTHENTICATING, accepted, present, proper_refusal, refuses_all

EVERYWHERE = pytest.mark.parametrize("intake", AUTHENTICATING)


@EVERYWHERE
def test_c4_an_id_that_is_missing_or_odd_is_refused(intake: str, backstage: Backstage):
    """No id, an empty one, a number, 129 characters: refused; 1 and 128 characters are accepted."""
    ehr = backstage.client()
    odd = {"missing": ..., "empty": "", "number": 7, "129": "j" * 129, "null": None, "array": ["a"]}
    tokens = {name: ehr.assertion(jti=jti) for name, jti in odd.items()}
    assert refuses_all(ehr, intake, tokens) == {}
    for fine in ("4", "j" * 128):
        assert accepted(present(ehr, intake, ehr.assertion(jti=fine)))


@EVERYWHERE
def test_c4_the_same_id_from_another_client_is_another_assertion(intake: str, backstage: Backstage):
    """Clients need not agree on ids: one client's spent id is good for another, once."""
    for ehr in (backstage.client(), backstage.client()):
        assert accepted(present(ehr, intake, ehr.assertion(jti="shared")))
        assert proper_refusal(intake, present(ehr, intake, ehr.assertion(jti="shared"))) is None


@pytest.mark.parametrize(
    "ids",
    [
        ("case", "CASE"),
        (unicodedata.normalize("NFC", "bl\u00e5b\u00e6r"), unicodedata.normalize("NFD", "bl\u00e5b\u00e6r")),
        ("blank", "blank "),
        ("n 1", "n  1"),
        ("1", "01"),
    ],
)
def test_c4_ids_are_compared_byte_for_byte(ids: tuple[str, str], attacker: SwiftEhr):
    """Ids that differ in case, composition or blanks are different ids, each good once."""
    for jti in ids:
        assert present(attacker, ASSERTION, attacker.assertion(jti=jti)).status == 200
    for jti in ids:
        assert present(attacker, ASSERTION, attacker.assertion(jti=jti)).status == 401


def test_c4_a_client_name_and_an_id_never_run_together(backstage: Backstage):
    """Two pairs of client and id that read the same when joined are two pairs."""
    first, second = backstage.client(client_id="run"), backstage.client(client_id="run.x")
    assert present(first, ASSERTION, first.assertion(jti="x y")).status == 200
    assert second.token(None, scope=SELF_SERVICE).status == 200
    assert present(second, ASSERTION, second.assertion(jti="y")).status == 200
    assert present(first, ASSERTION, first.assertion(jti="x  y")).status == 200
