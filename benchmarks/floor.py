"""The crypto floor: the signatures of one token request, made and verified with the bare library."""

import os
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

ECDSA = ec.ECDSA(hashes.SHA256())


def floor_per_second(seconds: float = 2.0, size: int = 2000) -> float:
    """How often per CPU second one core verifies an assertion and a proof and signs a token (all ES256)."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    assertion, proof, token = os.urandom(size), os.urandom(500), os.urandom(size)
    signatures = [decode_dss_signature(key.sign(data, ECDSA)) for data in (assertion, proof)]
    rounds, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        for _ in range(50):
            public.verify(encode_dss_signature(*signatures[0]), assertion, ECDSA)
            public.verify(encode_dss_signature(*signatures[1]), proof, ECDSA)
            decode_dss_signature(key.sign(token, ECDSA))
        rounds += 50
    return rounds / spent
