"""The crypto floor: the signatures of one request, made and verified with the bare library."""

import os
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

ECDSA = ec.ECDSA(hashes.SHA256())


def floor_per_second(
    seconds: float = 2.0, size: int = 2000, *, verifications: int = 2, signatures: int = 1
) -> float:
    """How often per CPU second one core makes the verifications and signatures of one request (all ES256).

    The first verification is of something as large as an assertion with an attestation, the others are of
    proofs; what is signed is as large as a token.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    token = os.urandom(size)
    messages = [os.urandom(500 if number else size) for number in range(verifications)]
    signed = [(decode_dss_signature(key.sign(data, ECDSA)), data) for data in messages]
    rounds, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        for _ in range(50):
            for signature, data in signed:
                public.verify(encode_dss_signature(*signature), data, ECDSA)
            for _ in range(signatures):
                decode_dss_signature(key.sign(token, ECDSA))
        rounds += 50
    return rounds / spent
