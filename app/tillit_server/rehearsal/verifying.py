"""Document sources that are not ours: each fetches the key set as seldom as it is allowed to."""

import random
import sys
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tillit.outbound.transport import TransportError, freshness
from tillit_server.rehearsal.lines import Json, Program
from tillit_server.rehearsal.participant import Participant
from tillit_server.rehearsal.scratch import Scratch
from tillit_server.rehearsal.witnesses import SeenToken, Witness

JWKS = "/.well-known/openid-configuration/jwks"
NEWEST, OLDER = 4, 6
REST = 0.05

PROGRAMS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        name: (sys.executable, "-m", f"tillit_server.rehearsal.foreign_{name.lower()}")
        for name in ("PyJWT", "joserfc")
    }
)
"""The verifiers that are always at hand. Each is a process that shares nothing with us but lines."""


class ForeignVerifier(Participant):
    """One document source: its cache is kept here by the service's time, its program verifies.

    ``refused_revoked`` are the revoked keys of which it has refused a token. Until ``absent_until`` (service
    time) it asks for nothing, so that caches differ in age.
    """

    def __init__(self, program: Program, scratch: Scratch, witness: Witness, seed: int) -> None:
        super().__init__(program.name, scratch, witness, rest=REST)
        self.verifications = self.failed = self.fetches = 0
        self.oldest_cache = 0.0
        self.refused_revoked: set[str] = set()
        self.absent_until = 0.0
        self._program = program
        self._random = random.Random(seed)  # noqa: S311  (a choice, no secret)
        self._fetched_at = self._fresh_until = float("-inf")
        self._document: Json = {"keys": []}

    def turn(self) -> None:
        """Verify some tokens, with the key set that is kept as long as it may be."""
        with self.still:
            now, fetched = self.scratch.clock(), False
            if now < self.absent_until:
                return
            if now >= self._fresh_until:
                fetched = self._fetch(now)
            tokens = [token for token in self._chosen() if token.expires_at > now]
            stolen = self.witness.stolen
            tokens += [token for token in stolen if token.kid not in self.refused_revoked]
            self.oldest_cache = max(self.oldest_cache, now - self._fetched_at)
        told = self._document if fetched else None
        answer = self._program.ask(jwks=told, tokens=[token.text for token in tokens])
        for place, token in enumerate(tokens):
            self._judge(token, answer["refused"].get(str(place)))

    def _judge(self, token: SeenToken, reason: str | None) -> None:
        if token.kid in self.witness.ended:
            if reason is not None:
                self.refused_revoked.add(token.kid)
            elif all(key["kid"] != token.kid for key in self._document["keys"]):
                self.witness.fault(f"{self.name} accepted a token of a revoked key it does not have")
            return
        self.verifications += 1
        if reason is not None:
            self.failed += 1
            self.witness.fault(f"{self.name} refused a good token of {token.kid}: {reason}")

    def _fetch(self, now: float) -> bool:
        """Fetch the key set; a source that gets none goes on with what it has, and asks again."""
        began = time.monotonic()
        try:
            document, answer = self.scratch.published(JWKS)
        except (TransportError, ValueError):
            self.witness.count("key set asked for again")
            return False
        self._document, self._fetched_at = document, now
        self._fresh_until = now + freshness(answer, default=0)
        self.fetches += 1
        self.witness.published({key["kid"] for key in document["keys"]}, began=began, now=now)
        return True

    def _chosen(self) -> Sequence[SeenToken]:
        """The newest tokens, and some of all ages: both keys, before and after a change."""
        tokens = tuple(self.witness.tokens)
        older = tokens[:-NEWEST]
        return (*tokens[-NEWEST:], *self._random.sample(older, min(OLDER, len(older))))
