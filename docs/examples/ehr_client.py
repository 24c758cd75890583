"""An EHR: attests why a practitioner needs documents, gets a token for it, and asks a document source.

    python ehr_client.py --issuer http://127.0.0.1:8080 --client-id ehr-nordfjell --key key.json \
        --attestation attestation-specialist-care.json --url http://127.0.0.1:8090/documents/search

`key.json` is the client's private key as a JWK; its public half is registered with the token service.
"""
# ruff: noqa: INP001, T201  a script that talks to its user

import argparse
import json
import sys
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from tillit.client import Client, ClientError, NotSent
from tillit.protocol.jose import load_private_jwk

SCOPE = "nhn:phr/mhd/read-documentreferences"


def main() -> int:
    """Ask once, print what came of it; 0 when documents came, 1 when somebody said no."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--issuer", required=True)
    options.add_argument("--client-id", required=True)
    options.add_argument("--key", type=Path, required=True, help="private key, a JWK")
    options.add_argument(
        "--attestation", type=Path, required=True, help="what the practitioner attests, JSON"
    )
    options.add_argument("--url", required=True, help="where the document source searches")
    options.add_argument("--patient", help="another patient than the attested one, to see it refused")
    given = options.parse_args()

    attestation = json.loads(given.attestation.read_text(encoding="utf-8"))
    key = load_private_jwk(json.loads(given.key.read_text(encoding="utf-8")))
    # The examples are about people who do not exist; an EHR in production leaves synthetic_identifiers out.
    client = Client(given.issuer, given.client_id, key, synthetic_identifiers=True)
    try:
        # One context per patient. Leaving it forgets the attestation and the token.
        with client, client.patient_context(attestation, scope=SCOPE) as context:
            token = context.token()
            print(f"token for {' '.join(token.scope)}, good for {token.expires_at - client.clock():.0f} s")
            attested = context.attestation()
            named = [one.identifier.id for one in attested.patients if one.identifier] if attested else []
            patient = given.patient or next(iter(named), "")
            answer = context.request(
                "POST",
                given.url,
                headers=[("Content-Type", "application/x-www-form-urlencoded")],
                body=urlencode({"patient": patient}).encode(),
            )
    except NotSent as refused:
        for violation in refused.violations:
            print(f"not sent: {violation.description}")
        return 1
    except ClientError as error:
        print(f"no token: {error}")
        return 1
    print(answer.status, answer.body.decode())
    return 0 if answer.status == HTTPStatus.OK else 1


if __name__ == "__main__":
    sys.exit(main())
