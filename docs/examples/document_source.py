"""A document source: a small API that shows a patient's documents to whoever an attested token vouches for.

    python document_source.py --issuer http://127.0.0.1:8080 --port 8090

It checks each request with `tillit.verifier`, applies what only a source can know (the patient's blocks),
and writes down who saw what. Try it with `ehr_client.py`.
"""
# ruff: noqa: INP001, T201  a script that talks to its user

import argparse
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from flask import Flask, Response, jsonify, request

from tillit.verifier import Access, Verifier
from tillit.verifier.adapters.flask import FlaskGuard

AUDIENCE = "nhn:phr"
SCOPE = "nhn:phr/mhd/read-documentreferences"

DOCUMENTS: Mapping[str, Sequence[str]] = {
    "05825031016": ("Epikrise øyeavdelingen 2024", "Anestesijournal 2023"),
    "63714815050": ("Sykepleiesammenfatning 2025",),
}
"""What this source holds, by the patient's number. All of it is made up."""

BLOCKED: Mapping[str, Collection[str]] = {"63714815050": {"314200772"}}
"""Whom a patient has blocked: the patient's number, and the enterprises that may not see anything (ATT-5)."""


def create_app(issuer: str, base_url: str) -> Flask:
    """Make the API. `base_url` is its public address, which clients sign; it comes from configuration."""
    app = Flask(__name__)
    verifier = Verifier(
        issuer,
        AUDIENCE,
        scope=SCOPE,
        # This source chooses to trust enterprises that vouch for their practitioners without a login.
        accept_established_by={"login", "legal_entity"},
    )
    guard = FlaskGuard(verifier, base_url=base_url)
    guard.init_app(app)

    # A search by form keeps the patient's number out of addresses, and so out of access logs.
    @app.post("/documents/search")
    def search() -> Response:
        patient = request.form.get("patient", "")
        access = guard.access(patient=patient)
        if access.organisation is None or access.organisation.legal_entity in BLOCKED.get(patient, ()):
            raise verifier.not_permitted("blocked by the patient")
        found = list(DOCUMENTS.get(patient, ()))
        write_down(access, len(found))
        return jsonify(documents=found)

    return app


def write_down(access: Access, count: int) -> None:
    """Say who saw what and why, as the patient may read it: with the name and without the number (ATT-8)."""
    assert access.person, "the verifier demands an attestation"  # noqa: S101  what the types cannot say
    assert access.organisation, "and an attestation names an enterprise"  # noqa: S101  as above
    assert access.attestation, "see above"  # noqa: S101  as above
    when = datetime.now(UTC).strftime("%H:%M:%S")
    who = f"{access.person.name} ({access.person.authorization}), {access.organisation.point_of_care_name}"
    decision = access.attestation.care_relationship.decision_ref.id
    print(f"{when} {who}: {access.purpose}, {count} documents, decision {decision}", flush=True)


def main() -> None:
    """Serve on loopback."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--issuer", required=True, help="the token service to trust")
    options.add_argument("--port", type=int, default=8090)
    given = options.parse_args()
    app = create_app(given.issuer, f"http://127.0.0.1:{given.port}")
    app.run(host="127.0.0.1", port=given.port)


if __name__ == "__main__":
    main()
