"""A second verifier of the audit, written from the description of the format alone: the standard library and nothing else.

Usage: python audit_verifier.py DATABASE AUDIT_SECRET_HEX [CHECKPOINT_FILE]
"""

import hashlib
import hmac
import json
import sqlite3
import sys
from pathlib import Path


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def find_flaw(rows, audit_secret, checkpoint_lines=()):
    """`rows`: (slot, seq, public, sealed, link). The first flaw as (slot, seq, reason), or None."""
    chain_key = mac(audit_secret, b"tillit audit chain v1")
    checkpoint_key = mac(audit_secret, b"tillit audit checkpoint v1")
    demanded = {}
    for line in checkpoint_lines:
        document = json.loads(line)
        claimed = document.pop("mac")
        text = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        if mac(checkpoint_key, text).hex() != claimed:
            return (0, 0, "checkpoint not ours")
        for slot, (seq, link) in document["heads"].items():
            demanded[int(slot), seq] = bytes.fromhex(link)
    chains = {}
    for slot, seq, public, sealed, link in rows:
        chains.setdefault(slot, []).append((seq, public, sealed, link))
    for slot in sorted(set(chains) | {slot for slot, _ in demanded}):
        previous, number = b"", 0
        for seq, public, sealed, link in chains.get(slot, []):
            number += 1
            if seq != number:
                return (slot, number, "gap")
            content = hashlib.sha256(len(public).to_bytes(8, "big") + public + sealed).digest()
            place = slot.to_bytes(8, "big") + seq.to_bytes(8, "big")
            if mac(chain_key, place + previous + content) != link:
                return (slot, number, "changed")
            if demanded.get((slot, seq), link) != link:
                return (slot, number, "differs from checkpoint")
            previous = link
        if any(s == slot and seq > number for s, seq in demanded):
            return (slot, number + 1, "cut off")
    return None


def read_rows(path):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = "SELECT id >> 40, id & ((1 << 40) - 1), public, sealed, link FROM journal ORDER BY id"
        rows = connection.execute(query).fetchall()
        return [
            (s, n, *(v if isinstance(v, bytes) else str(v).encode() for v in rest)) for s, n, *rest in rows
        ]
    finally:
        connection.close()


if __name__ == "__main__":
    database, secret_hex, *files = sys.argv[1:]
    lines = [line for name in files for line in Path(name).read_text(encoding="utf-8").splitlines()]
    flaw = find_flaw(read_rows(database), bytes.fromhex(secret_hex), lines)
    print("intact" if flaw is None else f"slot {flaw[0]} entry {flaw[1]}: {flaw[2]}")
    sys.exit(flaw is not None)
