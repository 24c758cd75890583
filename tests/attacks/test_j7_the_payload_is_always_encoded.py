"""J7: unencoded and detached payloads (RFC 7797) are refused."""

import pytest

from support.backstage import SwiftEhr
from support.intakes import INTAKES, claims, header, key_of, refuses_all
from support.tokens import b64, compact, octets
from tillit.protocol.jose import sign_bytes


@pytest.mark.parametrize("intake", INTAKES)
def test_j7_no_unencoded_or_detached_payload(intake: str, attacker: SwiftEhr):
    """`b64: false` with and without `crit`, a payload in the clear and a payload left out are refused."""
    key = key_of(intake, attacker)
    payload = claims(intake, attacker)
    tokens = {
        "b64": compact(header(intake, attacker, b64=False), payload, key),
        "b64 true": compact(header(intake, attacker, b64=True), payload, key),
        "critical b64": compact(header(intake, attacker, b64=False, crit=["b64"]), payload, key),
    }
    head = b64(octets(header(intake, attacker, b64=False, crit=["b64"])))
    clear = head + '.{"a":1}'
    tokens["clear"] = f"{clear}.{b64(sign_bytes(clear.encode(), key))}"
    attached = compact(header(intake, attacker), payload, key)
    first, _, last = attached.split(".")
    tokens["detached"] = f"{first}..{last}"
    assert refuses_all(attacker, intake, tokens) == {}
