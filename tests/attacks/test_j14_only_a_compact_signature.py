"""J14: a token is one compact JWS of three parts; every other form is refused."""

import json

import pytest

from support.backstage import SwiftEhr
from support.intakes import INTAKES, good, header, key_of, refuses_all
from support.tokens import b64, compact


@pytest.mark.parametrize("intake", INTAKES)
def test_j14_other_serialisations_are_refused(intake: str, attacker: SwiftEhr):
    """JSON serialisations, encrypted and nested tokens, and any other number of parts are refused."""

    def parts() -> list[str]:
        return good(intake, attacker).split(".")

    def flattened() -> dict[str, str]:
        protected, payload, signature = parts()
        return {"protected": protected, "payload": payload, "signature": signature}

    flat = flattened()
    general = {"payload": flat.pop("payload"), "signatures": [flat]}
    tokens = {
        "flattened": json.dumps(flattened()).replace(",", ";").replace(" ", ""),
        "general": json.dumps(general).replace(",", ";").replace(" ", ""),
        "JWE": f"{b64(b'{}')}.{b64(b'k')}.{b64(b'i')}.{b64(b'c')}.{b64(b't')}",
        "nested": compact(
            header(intake, attacker, cty="JWT"), good(intake, attacker).encode(), key_of(intake, attacker)
        ),
        "one part": parts()[0],
        "two parts": ".".join(parts()[:2]),
        "four parts": ".".join([*parts(), "AAAA"]),
        "leading dot": "." + ".".join(parts()),
        "trailing dot": ".".join(parts()) + ".",
        "only dots": "..",
        "no header": "." + ".".join(parts()[1:]),
        "null": compact(header(intake, attacker), b"null", key_of(intake, attacker)),
        "array": compact(header(intake, attacker), b"[]", key_of(intake, attacker)),
        "text": compact(header(intake, attacker), b'"x"', key_of(intake, attacker)),
        "header is array": compact(b"[]", b"{}", key_of(intake, attacker)),
        "word": "x",
    }
    assert refuses_all(attacker, intake, tokens) == {}


@pytest.mark.parametrize("intake", [name for name in INTAKES if name != "DPoP proof"])
def test_j14_json_serialisations_as_they_are_written(intake: str, attacker: SwiftEhr):
    """In a form a JSON serialisation can be sent as it is; it is refused there too."""
    protected, payload, signature = good(intake, attacker).split(".")
    flat = {"protected": protected, "payload": payload, "signature": signature}
    tokens = {
        "flattened": json.dumps(flat),
        "general": json.dumps(
            {"payload": payload, "signatures": [{"protected": protected, "signature": signature}]}
        ),
    }
    assert refuses_all(attacker, intake, tokens) == {}
