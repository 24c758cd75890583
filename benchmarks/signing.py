"""What a signature of ours costs, per algorithm and custody, against the bare library in the same minute.

`python -m benchmarks --path signing`. The signer makes a token of 2 kB (header, base64url, signature) and verifies
it before it leaves; the bare library signs as many octets and does nothing else. Both turns take CPU seconds of one
process, in turn, so a busy machine slows both. Keys in a token are SoftHSM2's where `make hsm` got it: software
again, behind the same PKCS#11 calls that a device answers, so the figures show what the calls cost, and not what
a device does.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tillit.protocol.jose import generate_key, sign_bytes, verify_bytes
from tillit_server.config import load_settings
from tillit_server.signing.signer import Signer
from tillit_server.wiring import build

ALGORITHMS = ("ES256", "ES384", "ES512", "EdDSA", "RS256", "PS256")
CLAIMS = {"sub": "x" * 1400}
DATA = os.urandom(2000)
MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path(".cache/softhsm/usr/lib/softhsm/libsofthsm2.so").resolve(),
)


def main(rounds: int) -> None:
    """Measure and print."""
    print("signatures per CPU second of one process; the signer makes a token and verifies it\n")
    print("| Algorithm | Custody | Bare library | Verify alone | Signer | Ratio |")
    print("|---|---|---:|---:|---:|---:|")
    for custody, where in (("software", None), ("pkcs11", _module())):
        if custody == "pkcs11" and where is None:
            print("no SoftHSM2 here: `make hsm` gets it")
            continue
        with tempfile.TemporaryDirectory() as directory, _signer(Path(directory), where) as signer:
            for alg in ALGORITHMS:
                print(_line(signer, alg, custody, rounds), flush=True)


def _line(signer: Signer, alg: str, custody: str, rounds: int) -> str:
    bare_key = generate_key(alg)
    signature = sign_bytes(DATA, bare_key)
    turns: list[tuple[float, float, float]] = [
        (
            _per_second(lambda: sign_bytes(DATA, bare_key)),
            _per_second(lambda: verify_bytes(DATA, signature, bare_key.public, alg)),
            _per_second(lambda: signer.sign("at+jwt", CLAIMS, alg)),
        )
        for _ in range(rounds)
    ]
    bare, verify, ours = (statistics.median(column) for column in zip(*turns, strict=True))
    ratio = statistics.median(own / of_library for of_library, _, own in turns)
    return f"| {alg} | {custody} | {bare:,.0f} | {verify:,.0f} | {ours:,.0f} | {ratio:.2f} |"


def _per_second(work: Callable[[], Any], seconds: float = 0.3) -> float:
    work()
    done, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        for _ in range(10):
            work()
        done += 10
    return done / spent


@contextmanager
def _signer(directory: Path, module: Path | None) -> Iterator[Signer]:
    flags: dict[str, Any] = {"dev": True, "data": directory / "data", "algorithms": ALGORITHMS}
    if module is not None:
        flags |= _token(directory, module)
    installation = build(load_settings(flags=flags))
    try:
        yield installation.services.signer
    finally:
        installation.close()


def _token(directory: Path, module: Path) -> dict[str, Any]:
    """A new token in a directory of its own."""
    pin, configuration, tokens = directory / "pin", directory / "softhsm2.conf", directory / "tokens"
    tokens.mkdir()
    pin.touch(mode=0o600)
    pin.write_text("271828", encoding="ascii")
    configuration.write_text(f"directories.tokendir = {tokens}\n", encoding="utf-8")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    tool = module.parents[2] / "bin" / "softhsm2-util"
    command = [tool, "--init-token", "--free", "--label", "tillit", "--pin", "271828", "--so-pin", "271828"]
    subprocess.run([*command, "--module", module], check=True, capture_output=True)
    return {"custody": "pkcs11", "pkcs11_module": module, "pkcs11_pin_file": pin}


def _module() -> Path | None:
    return next((path for path in MODULES if path.exists()), None)
