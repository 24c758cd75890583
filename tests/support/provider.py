"""A stand-in for an identity provider, on a port of its own, that can be made to fail in every way."""

import json
import secrets
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

from support.service import Service

NAME = "standin"
PID = "14857527039"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


class StandInProvider:
    """Takes pushed requests and redeems codes; what it says is in ``claims``, and how it fails in the switches.

    ``away``: it hangs up. ``status`` (with ``location``): what PAR and token endpoint answer with instead; ``pause``:
    after how many seconds; ``drip``: how many pass between the first octets of an answer to POST. ``pushed``: the forms that came,
    ``redeemed`` likewise: a code is good once in each login. ``now`` is the clock of the tested service.
    """

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "standin-1", "use": "sig", "alg": "ES256"})
        self.signer: Any = self.key
        self.away = False
        self.status: int | None = None
        self.location: str | None = None
        self.pause = 0.0
        self.drip = 0.0
        self.metadata_changes: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.token_changes: dict[str, Any] = {}
        self.pushed: list[dict[str, str]] = []
        self.redeemed: list[dict[str, str]] = []
        self._redeeming = threading.Lock()
        self.now = time.time
        standin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                standin._get(self)

            def do_POST(self) -> None:
                standin._post(self)

            def log_message(self, *_: Any) -> None:
                return

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}/op"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop for good."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reset(self) -> None:
        """Be a good provider again, which has seen nothing."""
        self.signer, self.away, self.status = self.key, False, None
        self.location, self.pause, self.drip = None, 0.0, 0.0
        for changes in (self.metadata_changes, self.header, self.claims, self.token_changes):
            changes.clear()
        self.pushed.clear()
        self.redeemed.clear()

    def describe(self, directory: Path, name: str = NAME, **members: str) -> None:
        """Write the provider's file into a configuration directory."""
        directory.mkdir(exist_ok=True)
        lines = {"title": "Stand-in", "issuer": self.issuer, "client_id": "tillit-at-standin", **members}
        text = "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())
        text += 'development_key = true\n[levels]\nsubstantial = "3"\nhigh = "4"\n'
        (directory / f"{name}.toml").write_text(text, encoding="utf-8")

    def _get(self, handler: BaseHTTPRequestHandler) -> None:
        if self.away:
            handler.close_connection = True
            return
        path = urlsplit(handler.path).path
        if path.endswith("/jwks"):
            self._answer(handler, 200, {"keys": [self.key.as_dict(private=False)]})
        elif path.endswith("openid-configuration"):
            self._answer(
                handler,
                200,
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "pushed_authorization_request_endpoint": f"{self.issuer}/par",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/jwks",
                    **self.metadata_changes,
                },
            )
        else:
            self._answer(handler, 404, {})

    def _post(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
        pairs = parse_qsl(body, keep_blank_values=True)
        form = dict(pairs)
        assert len(form) == len(pairs), "a parameter twice"
        time.sleep(self.pause)
        if self.away:
            handler.close_connection = True
        elif self.status is not None and "/elsewhere/" not in handler.path:
            self._answer(handler, self.status, {"error": "server_error"})
        elif handler.path.endswith("/par"):
            self.pushed.append(form)
            self._answer(
                handler, 201, {"request_uri": f"urn:standin:{secrets.token_hex(8)}", "expires_in": 60}
            )
        elif self._spent(form):
            self._answer(handler, 400, {"error": "invalid_grant"})
        else:
            self._answer(handler, 200, self._token())

    def _spent(self, form: dict[str, str]) -> bool:
        """Whether the code came before, with the verifier of the same login."""
        with self._redeeming:
            spent = any(
                (form["code"], form["code_verifier"]) == (before["code"], before["code_verifier"])
                for before in self.redeemed
            )
            self.redeemed.append(form)
        return spent

    def _token(self) -> dict[str, Any]:
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "sub": "somebody",
            "aud": "tillit-at-standin",
            "iat": now,
            "exp": now + 60,
            "auth_time": now,
            "nonce": self.pushed[-1]["nonce"],
            "pid": PID,
            "acr": "high",
            "amr": ["bankid"],
            "name": "KLAR SKOGSTJERNE",
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not ...}
        token = jwt.encode({"alg": "ES256", "kid": "standin-1", **self.header}, claims, self.signer)
        return {"access_token": "opaque", "token_type": "Bearer", "expires_in": 60, "id_token": token} | {
            **self.token_changes
        }

    def _answer(self, handler: BaseHTTPRequestHandler, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        if self.location:
            handler.send_header("Location", self.location)
        handler.end_headers()
        slowly = 6 if self.drip and handler.command == "POST" else 0
        with suppress(ConnectionError):
            for octet in body[:slowly]:
                handler.wfile.write(bytes((octet,)))
                time.sleep(self.drip)
            handler.wfile.write(body[slowly:])


def callback(service: Service, **parameters: str) -> str:
    """The address that a provider sends a browser back to."""
    return f"{service.issuer}/connect/login/callback?{urlencode(parameters)}"
