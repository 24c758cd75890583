"""Clients that ask for tokens without an end, as EHR systems do, and ask again when they are told to."""

import time

from tillit.client import Client
from tillit.client.errors import ClientError, ServerRefused, Unreachable
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import SigningKey
from tillit_server.rehearsal.participant import Participant
from tillit_server.rehearsal.scratch import Scratch
from tillit_server.rehearsal.witnesses import SeenToken, Witness

SCOPE = "nhn:selvbetjening/client"
REST = 0.03
_UNAVAILABLE = 503


class EhrClient(Participant):
    """A client that is registered under its name, with ``key``."""

    def __init__(self, name: str, key: SigningKey, scratch: Scratch, witness: Witness) -> None:
        super().__init__(name, scratch, witness, rest=REST)
        self._client = Client(scratch.issuer, name, key, http=scratch.send, clock=scratch.clock)

    def turn(self) -> None:
        """Ask for a token."""
        with self.still:
            self._ask()

    def _ask(self) -> None:
        began = time.monotonic()
        try:
            text = self._client.fetch_token(scope=SCOPE).value
        except Unreachable:
            self.witness.count("asked again: the connection broke")
        except ServerRefused as refused:
            # Hours pass in an instant here: a worker that has not looked at its rings since then says that
            # it cannot sign yet, or does not know the secret behind the other's nonce.
            if refused.code == "use_dpop_nonce" or refused.status == _UNAVAILABLE:
                self.witness.count(f"asked again: {refused.code}")
            else:
                self.witness.fault(f"a token was refused: {refused.code}")
        except ClientError as error:
            self.witness.fault(f"a token was refused: {error.code}")
        else:
            token = read_jws(text)
            seen = SeenToken(text, token.header["kid"], token.claims["exp"])
            self.witness.token(seen, began=began, now=self.scratch.clock())
