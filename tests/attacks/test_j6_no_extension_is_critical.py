"""J6: we support no extension, so every `crit` is refused."""

import pytest

from support.backstage import SwiftEhr
from support.intakes import INTAKES, claims, header, key_of, refuses_all
from support.tokens import compact

CRITICAL = (["bork"], [], ["alg"], ["exp"], "b64", ["b64", "b64"], ["absent"], None, {}, ["typ"])


@pytest.mark.parametrize("intake", INTAKES)
def test_j6_every_crit_is_refused(intake: str, attacker: SwiftEhr):
    """Whatever `crit` holds, sensible or not, the token is refused."""
    tokens = {
        str(crit): compact(
            header(intake, attacker, crit=crit, bork=1), claims(intake, attacker), key_of(intake, attacker)
        )
        for crit in CRITICAL
    }
    assert refuses_all(attacker, intake, tokens) == {}
