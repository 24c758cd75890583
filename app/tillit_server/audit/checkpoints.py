"""Checkpoints: the ends of all chains at one moment, kept outside the store.

Against the last checkpoint a cut tail, a missing chain, an older file or a diverging copy is found. A
checkpoint is only worth the distance to the store: the file belongs on another disk, and its lines in
somebody else's log.
"""

import fcntl
import hmac
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tillit_server.storage.ports import Head, Journal

EVERY_SECONDS = 60
EVERY_ENTRIES = 100


class CheckpointInvalid(Exception):
    """Not a checkpoint made with our audit secret."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of every chain at `at` (whole Unix seconds)."""

    at: int
    heads: tuple[Head, ...]

    @property
    def entries(self) -> int:
        """How many entries the chains had together."""
        return sum(head.seq for head in self.heads)


def checkpoint_secret(audit_secret: bytes) -> bytes:
    """The secret that checkpoints are MACed with, derived from the permanent audit-hash secret."""
    return hmac.digest(audit_secret, b"tillit audit checkpoint v1", "sha256")


def write_checkpoint(checkpoint: Checkpoint, secret: bytes) -> str:
    """One line of JSON with members `at`, `heads` (slot → [number, link]) and `mac` over the other two."""
    body = {
        "at": checkpoint.at,
        "heads": {str(head.slot): [head.seq, head.link.hex()] for head in checkpoint.heads},
    }
    return _canonical(body | {"mac": _mac(body, secret)})


def read_checkpoint(line: str, secret: bytes) -> Checkpoint:
    """Read what `write_checkpoint` made. Raises `CheckpointInvalid`."""
    try:
        body = json.loads(line)
        mac = body.pop("mac")
        genuine = hmac.compare_digest(mac, _mac(body, secret))
        heads = tuple(
            Head(int(slot), seq, bytes.fromhex(link)) for slot, (seq, link) in sorted(body["heads"].items())
        )
        checkpoint = Checkpoint(body["at"], heads)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointInvalid("not a checkpoint") from error
    if not genuine:
        raise CheckpointInvalid("made with another secret, or changed")
    return checkpoint


def known_heads(checkpoints: Iterable[Checkpoint]) -> Mapping[int, tuple[Head, ...]]:
    """What `chain.verify` wants to know of earlier checkpoints."""
    known: dict[int, tuple[Head, ...]] = {}
    for checkpoint in checkpoints:
        for head in checkpoint.heads:
            known[head.slot] = (*known.get(head.slot, ()), head)
    return known


class CheckpointKeeper:
    """Keeps the newest checkpoint of all workers in one file, replaced as a whole.

    `told` hears every line that is written, to pass it on to where the file's owner cannot reach. `lost` says
    of a checkpoint whether a restore has lost what it saw: it is kept then, and a new one is begun. None is
    dated before `since` (Unix seconds), so that they are told apart from those.
    """

    def __init__(
        self,
        path: Path,
        journal: Journal,
        *,
        audit_secret: bytes,
        clock: Callable[[], float],
        told: Callable[[str], None] = lambda _: None,
        lost: Callable[[Checkpoint], bool] = lambda _: False,
        since: int = 0,
    ) -> None:
        self._path = path
        self._journal = journal
        self._secret = checkpoint_secret(audit_secret)
        self._clock = clock
        self._told = told
        self._lost = lost
        self._since = since
        self._last = Checkpoint(0, ())

    def last(self) -> Checkpoint | None:
        """The checkpoint in the file; None when there is none yet. Raises `CheckpointInvalid`."""
        try:
            return read_checkpoint(self._path.read_text(encoding="utf-8"), self._secret)
        except FileNotFoundError:
            return None

    def tick(self) -> None:
        """Called every second or so: write a checkpoint if one is due.

        Raises `StorageUnavailable`, `OSError`, and `CheckpointInvalid` when the file is not ours or says that
        the store has lost entries: then the file is left alone, for it is the evidence.
        """
        now = max(int(self._clock()), self._since)
        found = Checkpoint(now, tuple(self._journal.heads()))
        fresh = found.entries - self._last.entries
        if not fresh or (fresh < EVERY_ENTRIES and 0 <= now - self._last.at < EVERY_SECONDS):
            return
        with self._alone():
            last = self.last() or Checkpoint(0, ())
            if self._lost(last):
                self._path.rename(self._path.with_name(f"{self._path.name}-{last.at}"))
                last = Checkpoint(0, ())
            # Another worker may have been faster, so what we saw may be older than what is in the file.
            found = Checkpoint(now, tuple(self._journal.heads()))
            seen = {head.slot: head for head in found.heads}
            for head in last.heads:
                if head.slot not in seen or seen[head.slot].seq < head.seq:
                    raise CheckpointInvalid(f"the store has lost entries of slot {head.slot}")
            line = write_checkpoint(found, self._secret)
            self._replace(line + "\n")
        self._last = found
        self._told(line)

    def _replace(self, text: str) -> None:
        temporary = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        # A full disk may take a part and say nothing; a file object goes on until all is written or it fails.
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self._path.with_name(self._path.name + ".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _mac(body: Mapping[str, object], secret: bytes) -> str:
    return hmac.digest(secret, _canonical(body).encode(), "sha256").hex()


def _canonical(body: Mapping[str, object]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))
