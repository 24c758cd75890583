"""One coverage-guided fuzzer: `python -m tests.fuzz.atheris_target NAME [libFuzzer options] [CORPUS]`.

The checks are those of the short fuzzers (`support/fuzzing.py`); here only octets are turned into what they take.
Needs the dependency group `fuzz`. pytest does not collect this file.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["tillit", "tillit_server.web.translate"]):
    from support import fuzzing

EVERY = 2_000
_FORM_VARIABLES = (
    "CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_DPOP", "HTTP_HOST", "QUERY_STRING", "HTTP_TRANSFER_ENCODING",
    "HTTP_CONTENT_ENCODING", "HTTP_AUTHORIZATION",
)  # fmt: skip


def gate(data: bytes) -> bool:
    """JSON; or a whole token; or the header and payload of one, parted by NUL."""
    mode, rest = data[:1], data[1:]
    if mode < b"\x55":
        return fuzzing.json_text(rest)
    if mode < b"\xaa":
        return fuzzing.jws(rest, allow_jwk=mode > b"\x80")
    header, _, payload = rest.partition(b"\0")
    return fuzzing.jws(fuzzing.unsigned(header, payload), allow_jwk=mode > b"\xd0")


def proof(data: bytes) -> bool:
    """A whole proof; header and payload of one, parted by NUL and signed as they are; or other claims in a good one."""
    mode, rest = data[:1], data[1:]
    if mode > b"\xd0":
        claims = _object(rest)
        return fuzzing.proof([fuzzing.good_proof(**claims)], with_nonce=mode > b"\xe8")
    if mode < b"\x20":
        return fuzzing.proof([part.decode("latin-1") for part in rest.split(b"\0")])
    header, _, payload = rest.partition(b"\0")
    return fuzzing.proof([fuzzing.signed(header, payload)], with_nonce=mode > b"\x80")


def form(data: bytes) -> bool:
    """A body; or lines of variables (a digit and a value) before an empty line and the body."""
    lines, separator, body = data.partition(b"\n\n")
    if not separator:
        return fuzzing.form(fuzzing.good_environ(data))
    variables = {
        _FORM_VARIABLES[line[0] % len(_FORM_VARIABLES)]: line[1:].decode("latin-1")
        for line in lines.split(b"\n")
        if line
    }
    return fuzzing.form(fuzzing.good_environ(body, **variables))


def attestation(data: bytes) -> bool:
    """JSON as the standard library leniently reads it, so that more gets past it than past our gate; or a text."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = data.decode("utf-8", "replace")
    return fuzzing.attestation(value)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


TARGETS: dict[str, Callable[[bytes], bool]] = {
    "gate": gate,
    "proof": proof,
    "form": form,
    "attestation": attestation,
}


def main() -> None:
    """Run one target until libFuzzer stops; how many were accepted and refused is kept in ``FUZZ_COUNTS``."""
    check = TARGETS[sys.argv.pop(1)]
    counts: Counter[str] = Counter()
    told = os.environ.get("FUZZ_COUNTS")

    def one(data: bytes) -> None:
        counts["accepted" if check(data) else "refused"] += 1
        if told and counts.total() % EVERY == 0:
            Path(told).write_text(json.dumps(counts), encoding="utf-8")

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
