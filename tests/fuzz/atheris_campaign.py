"""`make fuzz`: every coverage-guided fuzzer for its share of the time, the counts into the evidence ledger.

`python -m tests.fuzz.atheris_campaign --seconds 600`. What is found lies in `.hypothesis/atheris/`, beside the
corpus, which grows from run to run; give a finding to its target again with
`python -m tests.fuzz.atheris_target NAME FILE`.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support import fuzzing  # noqa: E402 (the tests' own path comes first)
from support.evidence import record  # noqa: E402 (as above)
from support.tokens import NOW, access_claims, assertion_claims, compact, proof_claims  # noqa: E402 (as above)

HOME = ROOT / ".hypothesis" / "atheris"
LONGEST = 6_000
WORDS = (
    "alg", "ES256", "none", "typ", "dpop+jwt", "jwk", "kty", "EC", "crv", "P-256", "crit", "b64", "kid", "jku", "iat", "exp", "nbf",
    "jti", "htm", "htu", "POST", "nonce", "ath", "practitioner", "patients", "identifier", "id", "system", "code", "toa", "type",
    "care_relationship", "purpose_of_use", "decision_ref", "user_selected", "legal_entity", "point_of_care", "department",
    "resource", "client_assertion", "\\u0000", "\\ud800", "9007199254740993", "1e400", "NaN",
)  # fmt: skip


def seeds() -> dict[str, list[bytes]]:
    """Good inputs of each target, to start from."""
    nonce = fuzzing.NONCES.issue(NOW)
    header, claims = json.dumps(fuzzing.PROOF_HEADER).encode(), json.dumps(proof_claims(nonce=nonce)).encode()
    documents = [json.dumps(value).encode() for value in fuzzing.attestations()]
    token = compact({"typ": "at+jwt", "alg": "ES256"}, access_claims(), fuzzing.KEY).encode()
    return {
        "gate": [
            *(b"\x01" + document for document in documents[:40]),
            b"\x60" + token,
            b"\xf0" + header + b"\0" + json.dumps(assertion_claims()).encode(),
        ],
        "proof": [
            b"\x01" + fuzzing.good_proof().encode(),
            b"\x40" + header + b"\0" + claims,
            b"\xc0" + header + b"\0" + claims,
            b"\xe0" + claims,
            b'\xf0{"jti":"x","iat":1795400000,"exp":1795400030,"ath":"x"}',
        ],
        "form": [
            fuzzing.good_form(),
            b"\x00application/x-www-form-urlencoded\n\x01176\n\x02a.b.c\n\n" + fuzzing.good_form(),
        ],
        "attestation": documents,
    }


def run(name: str, seconds: int, seed: int) -> bool:
    """Run one target, write its counts down, and tell whether it found nothing."""
    corpus = HOME / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()[name]):
        (corpus / f"seed-{number}").write_bytes(data)
    words = HOME / "words"
    words.write_text("".join(f'"{word}"\n' for word in WORDS if "\\" not in word), encoding="ascii")
    told = HOME / f"{name}.json"
    told.unlink(missing_ok=True)
    options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={LONGEST}", f"-dict={words}"]
    options += ["-print_final_stats=1", "-timeout=10", "-verbosity=1", f"-artifact_prefix={HOME}/{name}-"]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.atheris_target", name, *options, str(corpus)],
        cwd=ROOT,
        env={**os.environ, "FUZZ_COUNTS": str(told)},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    output = done.stdout + done.stderr
    executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", output)
    covered = re.findall(r"cov: (\d+)", output)
    counts = {
        "executions": int(executed[1]) if executed else 0,
        "edges": int(covered[-1]) if covered else 0,
        "findings": int(done.returncode != 0),
        **(json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}),
    }
    record(f"fuzz {name} (atheris)", seed=seed, seconds=time.monotonic() - started, counts=counts)
    print(name, counts, flush=True)
    if done.returncode:
        print(output[-4000:])
    return done.returncode == 0


def main() -> int:
    """Give every target its share; exit code 1 when one found something."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=int, default=600, help="for all targets together")
    options.add_argument("targets", nargs="*", default=[*seeds()])
    given = options.parse_args()
    os.nice(19)
    seed = random.randrange(1, 2**31)
    results = [run(name, given.seconds // len(given.targets), seed) for name in given.targets]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
