"""A program that is the drill's operator: opens the scratch installation and changes its keys when asked.

It can be killed in the middle of a change: then another one, forked from the same parent, takes its place.
Each says ``{"operator": its process id}`` before anything else.
"""

import json
import os
import sys
from collections import Counter
from functools import cached_property
from pathlib import Path

from tillit_server.audit.chain import chain_secret, verify
from tillit_server.audit.checkpoints import known_heads
from tillit_server.config import load_settings
from tillit_server.issuer.clients.client import client_from
from tillit_server.issuer.clients.registration import register
from tillit_server.issuer.services import Services
from tillit_server.rehearsal.lines import Json, answer_lines
from tillit_server.signing.key_moves import IllegalMove, Revoke, Rotate
from tillit_server.storage.ports import StorageUnavailable
from tillit_server.wiring import Installation, build

OPERATOR = {"operator": "drill", "reason": "rehearsal"}
_PAGE = 1000


class _Operator:
    def __init__(self, data: Path, clock: Path, issuer: str) -> None:
        self._flags = {"dev": True, "data": data, "clock": clock, "issuer": issuer}

    @cached_property
    def _installation(self) -> Installation:
        return build(load_settings(flags=self._flags))

    @property
    def _services(self) -> Services:
        return self._installation.services

    def answer(self, asked: Json) -> Json:
        """Do one thing: ``register``, ``rotate``, ``revoke``, ``ring`` or ``audit``."""
        try:
            answer: Json = getattr(self, f"_{asked.pop('do')}")(**asked)
        except IllegalMove as illegal:
            return {"refused": str(illegal)}
        except StorageUnavailable as unavailable:
            return {"unavailable": str(unavailable)}
        return answer

    def _register(self, *, client: Json) -> Json:
        register(self._services, client_from(client), replace=False, **OPERATOR)
        return {}

    def _rotate(self, *, at: int | None, kid: str | None = None) -> Json:
        return {"at": self._services.signer.change(Rotate("ES256", at, kid), **OPERATOR)[0].at}

    def _revoke(self, *, kid: str) -> Json:
        self._services.signer.change(Revoke(kid, at_once=True), **OPERATOR)
        return {}

    def _ring(self) -> Json:
        """The keys of ES256, in the order in which they sign, with the state that each has now."""
        signer, now = self._services.signer, self._services.clock()
        entries = sorted(
            (e for e in signer.ring().entries if e.alg == "ES256"), key=lambda e: (e.active_from, e.kid)
        )
        return {
            "now": now,
            "policy": {"max_age": signer.policy.jwks_max_age, "skew": signer.policy.skew},
            "keys": [
                {
                    "kid": e.kid,
                    "state": e.state(now).value,
                    "announced_at": e.announced_at,
                    "active_from": e.active_from,
                    "retire_from": e.retire_from,
                    "revoked_at": e.revoked_at,
                }
                for e in entries
            ],
        }

    def _audit(self) -> Json:
        """Whether the whole record is intact, and how often each thing was done by this operator."""
        last = self._installation.checkpoints.last()
        journal, secret = self._services.store.journal, chain_secret(self._installation.audit_secret)
        report = verify(journal, secret, known=known_heads([last] if last else []))
        done: Counter[str] = Counter()
        for head in journal.heads():
            after = 0
            while page := self._services.audit.read(head.slot, after=after, limit=_PAGE):
                after = page[-1].seq
                done.update(e.event for e in page if e.public.get("operator") == OPERATOR["operator"])
        return {"intact": report.intact, "entries": report.entries, "done": done}


def main() -> None:
    """``operating DATA CLOCK ISSUER``. The installation is opened when the first question comes."""
    data, clock, issuer = sys.argv[1:]
    while True:
        child = os.fork()
        if not child:
            sys.stdout.write(json.dumps({"operator": os.getpid()}) + "\n")
            sys.stdout.flush()
            answer_lines(_Operator(Path(data), Path(clock), issuer).answer)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return


if __name__ == "__main__":
    main()
