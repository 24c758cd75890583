"""An EHR with a login: a practitioner logs in once, and then opens one patient after another.

    python ehr_web_app.py --issuer http://127.0.0.1:8080 --client-id dev-login --key dev-login.jwk \
        --attestation attestation-specialist-care.json --url http://127.0.0.1:8090/documents/search

Open http://127.0.0.1:8095 in a browser. `dev-login.jwk` is the client's private key; in development mode it
lies in the service's data directory, under `clients/`. Try it with `document_source.py`.
"""
# ruff: noqa: INP001  a script that talks to its user

import argparse
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Flask, abort, redirect, render_template_string, request

from tillit.client import Client, ClientError, Login, Session
from tillit.protocol.jose import load_private_jwk

SCOPE = (
    "openid profile offline_access helseid://scopes/identity/pid helseid://scopes/identity/security_level "
    "nhn:phr/mhd/read-documentreferences"
)
AUDIENCE = "nhn:phr"
COOKIE = "ehr-session"
PAGE = """<!doctype html>
<html lang="en"><title>An EHR</title><h1>An EHR</h1>
{% if name %}
<p id="who">Logged in: {{ name }}</p>
<ul id="documents">{% for one in documents %}<li>{{ one }}</li>{% endfor %}</ul>
<form method="post" action="/patient"><button id="patient">Get the patient's documents</button></form>
<form method="post" action="/logout"><button id="logout">Log out</button></form>
{% else %}
<form method="post" action="/login"><button id="login">Log in</button></form>
{% endif %}
{% if fault %}<p id="fault" role="alert">{{ fault }}</p>{% endif %}
</html>"""


@dataclass(slots=True)
class Desk:
    """What this EHR knows about one browser; it never leaves the server."""

    pending: dict[str, Any] | None = field(default=None, repr=False)
    session: Session | None = None


class Ehr:
    """The EHR. `base_url` is its public address; its callback there is registered with the service."""

    def __init__(
        self, client: Client, base_url: str, attestation: dict[str, Any], documents_url: str
    ) -> None:
        self.login = Login(
            client, f"{base_url}/callback", scope=SCOPE, resources=(AUDIENCE,), acr_values="Level4"
        )
        self.secure = base_url.startswith("https")
        self.attestation = attestation
        self.documents_url = documents_url
        self.desks: dict[str, Desk] = {}

    def app(self) -> Flask:
        """The pages."""
        app = Flask(__name__)
        app.get("/")(self.index)
        app.post("/login")(self.begin)
        app.get("/callback")(self.come_back)
        app.post("/patient")(self.open_patient)
        app.post("/logout")(self.log_out)
        return app

    def index(self) -> str:
        """Who is logged in, if anybody."""
        return show(self.desk())

    def begin(self) -> Any:
        """Send the browser to the token service."""
        # No attestation yet: each patient gets one of their own, when their documents are opened.
        address, pending = self.login.begin()
        key = secrets.token_urlsafe(32)
        self.desks[key] = Desk(pending)
        response = redirect(address, 303)
        response.set_cookie(COOKIE, key, httponly=True, samesite="Lax", secure=self.secure)
        return response

    def come_back(self) -> Any:
        """Take the answer; it is good in this browser only, and once."""
        at = self.desk()
        if at.pending is None:
            abort(400)
        pending, at.pending = at.pending, None
        try:
            # An EHR that knows who sits at the keyboard says so here; this one has no users of its own.
            at.session = self.login.finish(pending, request.query_string.decode("ascii"), person=None)
        except ClientError as error:
            return show(at, fault=str(error)), 403
        return redirect("/", 303)

    def open_patient(self) -> Any:
        """Get one patient's documents from elsewhere."""
        at = self.desk()
        if at.session is None:
            abort(403)
        patient = self.attestation["patients"][0]["identifier"]["id"]
        try:
            # One context per patient. Leaving it forgets the attestation and its token; the login stays.
            with at.session.patient_context(self.attestation) as context:
                answer = context.request(
                    "POST",
                    self.documents_url,
                    headers=[("Content-Type", "application/x-www-form-urlencoded")],
                    body=urlencode({"patient": patient}).encode(),
                )
        except ClientError as error:
            return show(at, fault=str(error)), 502
        if answer.status != HTTPStatus.OK:
            return show(at, fault=f"the document source said {answer.status}"), 502
        return show(at, documents=json.loads(answer.body)["documents"])

    def log_out(self) -> Any:
        """Log out here and at the token service, and give up whatever tokens are left."""
        at = self.desks.pop(request.cookies.get(COOKIE, ""), Desk())
        if at.session is None:
            return redirect("/", 303)
        address = at.session.end_url()
        at.session.end()
        return redirect(address, 303)

    def desk(self) -> Desk:
        """What is known about the browser that asks."""
        return self.desks.get(request.cookies.get(COOKIE, ""), Desk())


def show(at: Desk, *, documents: Sequence[str] = (), fault: str = "") -> str:
    """The only page there is."""
    name = at.session.claims["name"] if at.session else ""
    return render_template_string(PAGE, name=name, documents=documents, fault=fault)


def main() -> None:
    """Serve on loopback."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--issuer", required=True)
    options.add_argument("--client-id", required=True)
    options.add_argument("--key", type=Path, required=True, help="private key, a JWK")
    options.add_argument(
        "--attestation", type=Path, required=True, help="what is attested for each patient, JSON"
    )
    options.add_argument("--url", required=True, help="where the document source searches")
    options.add_argument("--port", type=int, default=8095)
    given = options.parse_args()
    key = load_private_jwk(json.loads(given.key.read_text(encoding="utf-8")))
    attestation = json.loads(given.attestation.read_text(encoding="utf-8"))
    # The examples are about people who do not exist; an EHR in production leaves synthetic_identifiers out.
    with Client(given.issuer, given.client_id, key, synthetic_identifiers=True) as client:
        ehr = Ehr(client, f"http://127.0.0.1:{given.port}", attestation, given.url)
        ehr.app().run(host="127.0.0.1", port=given.port)


if __name__ == "__main__":
    main()
