"""What clients and verifiers of a drill have in common: each works in turns, on a thread of its own."""

import threading
from abc import abstractmethod

from tillit_server.rehearsal.scratch import Scratch
from tillit_server.rehearsal.witnesses import Witness

LAST_TURN = 15.0


class Participant(threading.Thread):
    """Takes a turn, rests for ``rest`` seconds, and takes the next. ``turns`` grows with each one ended."""

    def __init__(self, name: str, scratch: Scratch, witness: Witness, *, rest: float) -> None:
        super().__init__(name=name, daemon=True)
        self.turns = 0
        self.scratch = scratch
        self.witness = witness
        self.still = scratch.still()
        self._rest = rest
        self._over = threading.Event()
        self._hurry = threading.Event()

    @abstractmethod
    def turn(self) -> None:
        """Do it once. The clock does not move while ``still`` is held."""

    def run(self) -> None:
        """Until told to stop."""
        try:
            while not self._over.is_set():
                self.turn()
                self.turns += 1
                self._hurry.wait(self._rest)
                self._hurry.clear()
        except Exception as error:  # noqa: BLE001  (whatever ends a participant ends the drill badly)
            self.witness.fault(f"{self.name}: {error!r}")

    def hurry(self) -> None:
        """Rest no longer before the next turn."""
        self._hurry.set()

    def stop(self) -> None:
        """Take no more turns; one that does not end is not waited for."""
        self._over.set()
        self._hurry.set()
        self.join(LAST_TURN)
