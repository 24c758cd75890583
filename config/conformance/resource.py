"""The protected resource of a certification run: GET /accounts, checked with `tillit.verifier`.

    python config/conformance/resource.py

It listens on loopback; what ends TLS passes /accounts on to it (docs/conformance.md). Since the suite wants
to see at once that a token was revoked, it asks the issuer, too, after it has checked a token by itself.
"""
# ruff: noqa: INP001, T201  a script that talks to its user

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from flask import Flask, Response, jsonify, request

from tillit.protocol.client_assertion import ASSERTION_TYPE, make_assertion
from tillit.protocol.jose import SigningKey, load_private_jwk
from tillit.protocol.metadata import ENDPOINTS, JWKS_PATH
from tillit.verifier import Refused, Verifier
from tillit.verifier.adapters.flask import FlaskGuard
from tillit.verifier.refusals import Refusals

AUDIENCE = "conformance:accounts"
SCOPE = "accounts"
CLIENT = "accounts"
ALGORITHMS = ("PS256", "ES256")
ACCOUNTS = [{"id": "1", "name": "Everyday"}, {"id": "2", "name": "Savings"}]
INTERACTION = "x-fapi-interaction-id"
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Introspection:
    """Asks the issuer, at its address behind TLS, whether a token still holds (RFC 7662)."""

    def __init__(self, issuer: str, address: str, key: SigningKey) -> None:
        self._issuer = issuer
        self._url = address + ENDPOINTS["introspection_endpoint"]
        self._key = key
        self._http = httpx.Client(timeout=5, trust_env=False)

    def is_active(self, token: str) -> bool:
        """Whether it does. Raises `httpx.HTTPError`."""
        fields = {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": make_assertion(self._key, CLIENT, self._issuer, now=time.time()),
            "token": token,
        }
        answer = self._http.post(self._url, content=urlencode(fields), headers=FORM).raise_for_status()
        return answer.json().get("active") is True


def create_app(issuer: str, address: str, base_url: str, key: SigningKey) -> Flask:
    """Make the resource. `address` is where the issuer listens behind TLS; `base_url` is ours, before it."""
    app = Flask(__name__)
    verifier = Verifier(
        issuer,
        AUDIENCE,
        scope=SCOPE,
        require_attestation=False,
        algorithms=ALGORITHMS,
        jwks_uri=address + JWKS_PATH,
    )
    guard = FlaskGuard(verifier, base_url=base_url)
    guard.init_app(app)
    introspection, refusals = Introspection(issuer, address, key), Refusals(ALGORITHMS)

    @app.get("/accounts")
    def accounts() -> Response:
        guard.access()
        token = request.headers["Authorization"].partition(" ")[2].strip()
        try:
            active = introspection.is_active(token)
        except httpx.HTTPError as error:
            raise refusals.unavailable(f"introspection: {type(error).__name__}", 2) from error
        if not active:
            raise refusals.invalid_token("the access token is not valid here", detail="revoked")
        return jsonify(accounts=ACCOUNTS)

    @app.errorhandler(Refused)
    def refused(refusal: Refused) -> Response:
        return Response(refusal.body, refusal.status, headers=list(refusal.headers))

    @app.after_request
    def echo(response: Response) -> Response:
        sent = request.headers.get(INTERACTION, "")
        if UUID.fullmatch(sent):
            response.headers[INTERACTION] = sent
        return response

    return app


def main() -> None:
    """Read the addresses and serve."""
    arguments: Any = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--issuer", default="https://localhost:9443")
    arguments.add_argument("--address", default="http://127.0.0.1:9080", help="The issuer behind TLS.")
    arguments.add_argument("--base-url", default="https://localhost:9443", help="This resource before it.")
    arguments.add_argument("--data", type=Path, default=Path(".conformance"), help="The issuer's directory.")
    arguments.add_argument("--port", type=int, default=9081)
    given = arguments.parse_args()
    key = load_private_jwk(json.loads((given.data / "clients" / f"{CLIENT}.jwk").read_bytes()))
    print(f"{given.base_url}/accounts")
    create_app(given.issuer, given.address, given.base_url, key).run(port=given.port, threaded=True)


if __name__ == "__main__":
    main()
