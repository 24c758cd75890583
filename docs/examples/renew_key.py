"""Renews the key of an EHR's client before it expires; a job for once a day.

    python renew_key.py --issuer http://127.0.0.1:8080 --client-id ehr-nordfjell --key key.json

`key.json` is the client's private key as a JWK, readable by its owner alone; afterwards it holds the new one.
The client must be registered with the scope `nhn:selvbetjening/client`.
"""
# ruff: noqa: INP001, T201  a script that talks to its user

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from tillit.client import Client, ClientError, FileKeyStore, KeyRenewal, KeyStoreError


def main() -> int:
    """Renew if it is time, say what came of it; 0 when all is well, 1 when somebody must look."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--issuer", required=True)
    options.add_argument("--client-id", required=True)
    options.add_argument("--key", type=Path, required=True, help="the file that holds the client's key")
    options.add_argument("--now", action="store_true", help="renew whenever the key expires")
    given = options.parse_args()

    store = FileKeyStore(given.key)
    try:
        with Client(given.issuer, given.client_id, store.load().current) as client:
            renewal = KeyRenewal(client, store)
            if given.now:
                print(f"renewed: {renewal.renew().kid}")
            elif renewal.renew_if_due():
                print(f"renewed: {client.wire.key.kid}")
            else:
                ends_at = renewal.expires_at()
                when = (
                    "it is removed" if ends_at is None else datetime.fromtimestamp(ends_at, UTC).isoformat()
                )
                print(f"good until {when}")
    except (ClientError, KeyStoreError) as error:
        # The old key is still in use, and the next run goes on where this one stopped.
        print(f"not renewed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
