"""Rotations under load in accelerated time, and foreign verifiers that keep the key set for as long as they may."""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from joserfc import jws
from joserfc.jwk import KeySet

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.service import Service, http_json
from tillit.protocol.gate import read_jws
from tillit_server.signing.key_moves import Rotate

JWKS = "/.well-known/openid-configuration/jwks"
DAY = 86_400
MAX_AGE = 600
STEP, PAUSE = 60, 0.12


def by_pyjwt(document: dict[str, Any], token: str) -> None:
    """Verify with PyJWT; raises what that raises."""
    key = jwt.PyJWKSet.from_dict(document)[jwt.get_unverified_header(token)["kid"]]
    options = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
    jwt.decode(token, key, algorithms=["ES256"], options=options)


def by_joserfc(document: dict[str, Any], token: str) -> None:
    """Verify with joserfc; raises what that raises."""
    jws.deserialize_compact(token, KeySet.import_key_set(document), algorithms=["ES256"])


@dataclass
class ForeignVerifier:
    """A document source that fetches the key set as seldom as it is allowed to."""

    service: Service
    verify: Callable[[dict[str, Any], str], None]
    fetched_at: float = float("-inf")
    document: dict[str, Any] = field(default_factory=dict)

    def check(self, token: str) -> bool:
        """Whether the token verifies with what is cached; fetches only what is older than max-age."""
        if not 0 <= self.service.now() - self.fetched_at < MAX_AGE:
            self.fetched_at = self.service.now()
            self.document = http_json("GET", self.service.issuer + JWKS)[2]
        try:
            self.verify(self.document, token)
        except Exception:  # noqa: BLE001  (whatever it is, a verification has failed)
            return False
        return True


class Rotations:
    """A running service whose keys are rotated while clients ask and foreign verifiers verify."""

    def __init__(self, service: Service, backstage: Backstage, seed: int) -> None:
        self.service = service
        self.backstage = backstage
        self.offset = 0.0
        self.counts: Counter[str] = Counter()
        self.kids: set[str] = set()
        self.tokens: deque[tuple[float, str]] = deque(maxlen=400)
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._asking = [threading.Lock() for _ in range(2)]

    def _client(self, ehr: SwiftEhr, asking: threading.Lock) -> None:
        while not self._over.is_set():
            with asking:
                answer = ehr.token(details=None, scope=SELF_SERVICE)
                if answer.status != 200:
                    # Minutes pass in an instant here: a worker that has not looked at the rings since then
                    # says that it cannot sign yet, or does not know the secret behind another's nonce.
                    again = answer.status == 503 or answer.error == "use_dpop_nonce"
                    self.counts["asked again" if again else f"tokens refused: {answer.error}"] += 1
                    ehr.forget_nonce()
                    continue
                token = answer.json["access_token"]
                parsed = read_jws(token)
                self.kids.add(parsed.header["kid"])
                self.tokens.append((parsed.claims["exp"], token))
                self.counts["tokens"] += 1
            time.sleep(0.001)  # let the clock have its turn

    def _source(self, verifier: ForeignVerifier, chance: random.Random) -> None:
        while not self._over.is_set():
            # The newest token, and an older one that still lives: both keys, before and after a change.
            for at in (-1, chance.randrange(-200, 0)):
                try:
                    expires_at, token = self.tokens[at]
                except IndexError:
                    continue
                if expires_at > self.service.now():
                    self.counts["verifications"] += 1
                    self.counts["failed"] += not verifier.check(token)
            time.sleep(0.004)

    def advance(self, seconds: float) -> None:
        """Move the clock while no request is under way."""
        with ExitStack() as nobody_asks:
            for lock in self._asking:
                nobody_asks.enter_context(lock)
            self.offset += seconds
            self.service.set_clock(offset=self.offset)

    def rotate(self) -> None:
        """A day passes; an operator rotates; the longest cache there may be runs out, a minute at a time."""
        self.advance(DAY + self._random.randrange(3600))
        for _ in range(3):  # caches of different ages
            self.advance(self._random.randrange(1, MAX_AGE // 3))
            time.sleep(PAUSE)
        self.backstage.services.signer.change(Rotate("ES256"), operator="test", reason="rehearsal")
        self.counts["rotations"] += 1
        for _ in range(MAX_AGE // STEP + 4):
            self.advance(STEP)
            time.sleep(PAUSE)

    @contextmanager
    def load(self) -> Iterator[None]:
        """Two clients and four foreign verifiers at work."""
        verifiers = [ForeignVerifier(self.service, verify) for verify in (by_pyjwt, by_joserfc) * 2]
        ehrs = [self.backstage.client() for _ in self._asking]
        threads = [
            *(
                threading.Thread(target=self._client, args=pair)
                for pair in zip(ehrs, self._asking, strict=True)
            ),
            *(
                threading.Thread(target=self._source, args=(verifier, random.Random(number)))
                for number, verifier in enumerate(verifiers)
            ),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(30)
