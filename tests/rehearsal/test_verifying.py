"""A foreign verifier of the drill heeds max-age to the second, and notices whatever must not be."""

import json
import math
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tillit.outbound.transport import Response
from tillit.protocol.jose import generate_key, sign
from tillit_server.rehearsal.lines import Program
from tillit_server.rehearsal.verifying import PROGRAMS, ForeignVerifier
from tillit_server.rehearsal.witnesses import SeenToken, Witness

MAX_AGE = 600
NOW = 1_768_465_800.0
KEYS = [generate_key("ES256") for _ in range(2)]


class StillService:
    """A service of which only its key set is known; its clock is moved by hand."""

    def __init__(self) -> None:
        self.now = NOW
        self.keys = [KEYS[0]]
        self.fetched = 0

    def clock(self) -> float:
        """The instant that was set."""
        return self.now

    def still(self) -> threading.Lock:
        """A lock that nobody else wants."""
        return threading.Lock()

    def published(self, _path: str) -> tuple[Any, Response]:
        """The key set, good for ten minutes."""
        self.fetched += 1
        document = {"keys": [dict(key.public.jwk) for key in self.keys]}
        headers = (("Cache-Control", f"public, max-age={MAX_AGE}"),)
        return document, Response(200, headers, json.dumps(document).encode())


def token_of(number: int, expires_at: float = NOW + 86_400) -> SeenToken:
    """A token signed by one of the keys."""
    key = KEYS[number]
    return SeenToken(sign({"typ": "at+jwt"}, {"n": number}, key), key.kid, expires_at)


@pytest.fixture(params=sorted(PROGRAMS))
def verifier(request: pytest.FixtureRequest, tmp_path: Path):
    program = Program(request.param, PROGRAMS[request.param], tmp_path / "log")
    yield ForeignVerifier(program, StillService(), Witness(), seed=1)
    program.close()


def test_the_key_set_is_kept_for_exactly_as_long_as_it_may_be(verifier: ForeignVerifier):
    """A second before max-age is over the old key set still serves, and a token of a newer key fails; then not."""
    service, witness = verifier.scratch, verifier.witness
    witness.tokens.append(token_of(0))
    verifier.turn()
    service.keys = list(KEYS)
    service.now += MAX_AGE - 1
    witness.tokens.append(token_of(1))
    verifier.turn()
    assert (service.fetched, verifier.verifications, verifier.failed) == (1, 3, 1)
    assert f"{verifier.name} refused a good token of {KEYS[1].kid}" in witness.faults[0]
    assert verifier.oldest_cache == MAX_AGE - 1
    service.now += 1
    verifier.turn()
    assert (service.fetched, verifier.verifications, verifier.failed) == (2, 5, 1)


def test_what_has_expired_is_not_shown(verifier: ForeignVerifier):
    """A token that no source would be sent any more counts for nothing."""
    verifier.witness.tokens.append(token_of(1, expires_at=NOW))
    verifier.turn()
    assert (verifier.verifications, verifier.failed) == (0, 0)


def test_a_broken_signature_fails(verifier: ForeignVerifier):
    """The program verifies: a token whose signature belongs to another text is refused."""
    good, other = token_of(0), token_of(1)
    spliced = good.text.rpartition(".")[0] + "." + other.text.rpartition(".")[2]
    verifier.witness.tokens.append(SeenToken(spliced, good.kid, good.expires_at))
    verifier.turn()
    assert (verifier.verifications, verifier.failed) == (1, 1)


def test_a_revoked_key_lives_until_the_cache_is_renewed_and_no_longer(verifier: ForeignVerifier):
    """Its tokens pass while the old key set is kept, count for nothing, and are refused after it."""
    service, witness = verifier.scratch, verifier.witness
    service.keys = list(KEYS)
    witness.tokens.append(token_of(0))
    verifier.turn()
    witness.robbed(KEYS[0].kid)
    service.keys = [KEYS[1]]
    verifier.turn()
    assert verifier.refused_revoked == set()
    service.now += MAX_AGE
    verifier.turn()
    assert verifier.refused_revoked == {KEYS[0].kid}
    assert (verifier.verifications, verifier.failed, witness.faults) == (1, 0, [])


def test_what_is_seen_of_a_revoked_key_too_late_is_a_fault():
    """A signature or a publication that was asked for after the key's end is noticed, one from before is not."""
    witness, token = Witness(counts=Counter()), token_of(0)
    witness.tokens.append(token)
    witness.robbed(token.kid)
    witness.token(token, began=10.0, now=NOW)
    assert witness.ended == {token.kid: math.inf}
    witness.ended[token.kid] = 11.0
    witness.token(token, began=11.0, now=NOW)
    witness.published({token.kid}, began=10.9, now=NOW)
    assert witness.faults == []
    witness.token(token, began=11.5, now=NOW)
    witness.published({token.kid}, began=12.0, now=NOW)
    assert [fault.partition(" ")[2] for fault in witness.faults] == [
        "signed 0.5 s after it had ended",
        "was published 1.0 s after it had ended",
    ]
