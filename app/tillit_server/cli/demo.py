"""``tillit demo``: the whole main job once, on loopback, with everything shown and nothing left behind."""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import click

from tillit_server.cli.output import fail

if TYPE_CHECKING:
    from tillit.client.context import Context
    from tillit.client.token_request import Token
    from tillit_server.cli.tokens import Asked

CLIENT = "dev-ehr"
PATIENT, OTHER_PATIENT = "05825031016", "63714815050"
SCOPE = "nhn:phr/mhd/read-documentreferences"
START_SECONDS = 60
EXPIRED_SECONDS = 3601


@click.command()
def demo() -> None:
    """Attest, fetch a token, open a document, and see three requests refused."""
    from tillit.client import Client

    examples = Path(str(files("tillit_server") / "examples"))
    attestation = json.loads((examples / "attestation-specialist-care.json").read_text(encoding="utf-8"))
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tillit-demo-")))
        issuer, source = (f"http://127.0.0.1:{port}" for port in _free_ports(2))
        _say("1. The token service starts on a temporary embedded store, with keys made just now.")
        stack.enter_context(
            _running(
                [
                    str(Path(sys.executable).with_name("tillit")),
                    "serve",
                    "--dev",
                    "--data",
                    str(data),
                    "--port",
                    issuer.rpartition(":")[2],
                ],
                issuer + "/.well-known/openid-configuration",
                data / "service.log",
            )
        )
        click.echo(f"   issuer {issuer}")
        stack.enter_context(
            _running(
                [
                    sys.executable,
                    str(examples / "document_source.py"),
                    "--issuer",
                    issuer,
                    "--port",
                    source.rpartition(":")[2],
                ],
                source + "/",
                data / "source.log",
            )
        )
        click.echo(
            f"   document source {source}, which trusts that issuer and accepts attestation without login"
        )
        asked = _asked(issuer, data)
        client = Client(issuer, CLIENT, asked.key, asked.dpop_key, synthetic_identifiers=True)
        with client, client.patient_context(attestation, scope=SCOPE) as context:
            _accepted(context, source)
            _refusals(asked, context, attestation, source)
        _say("Done. Everything was stopped and removed.")


def _accepted(context: "Context", source: str) -> None:
    _say("2. The EHR attests why an anaesthetist needs a patient's documents, and gets a bound token.")
    token = context.token()
    claims = _payload(token.value)
    attested = claims["nhn:tillitsrammeverk:parameters"]
    practitioner, care = attested["practitioner"], attested["care_relationship"]
    for label, value in (
        ("who asks", f"{practitioner['identifier']['name']}, {practitioner['authorization']['text']}"),
        ("for which enterprise", practitioner["legal_entity"]["name"]),
        ("at", practitioner["point_of_care"]["name"]),
        ("why", f"{care['purpose_of_use']['text']}, {care['healthcare_service']['text']}"),
        ("decision", care["decision_ref"]["id"]),
        ("vouched for by", claims["practitioner_established_by"]),
        ("judged by rule pack", claims["rule_pack_version"]),
        ("bound to key", claims["cnf"]["jkt"]),
        ("good for", f"{claims['exp'] - claims['iat']} s"),
    ):
        click.echo(f"   {label + ':':22}{value}")
    _say("3. The document source verifies the token offline and shows the documents.")
    answer = context.request(*_search(source, PATIENT)[:2], **_search(source, PATIENT)[2])
    _expect(answer.status, 200, answer.body)
    click.echo(f"   200 {', '.join(json.loads(answer.body)['documents'])}")


def _refusals(asked: "Asked", context: "Context", attestation: Mapping[str, Any], source: str) -> None:
    from tillit_server.cli.tokens import send_request

    _say("4. Refused: an attestation that is more than 60 minutes old. The service explains it:")
    expired = {**attestation, "toa": int(time.time()) - EXPIRED_SECONDS}
    report = json.loads(send_request(replace(asked, details=expired), explain=True).body)
    step = next(step for step in report["steps"] if step["verdict"] == "refused")
    _expect(report["verdict"], "refused", b"")
    for finding in step["findings"]:
        click.echo(f"   {finding['rule']} at {finding['pointer']}: {finding['description']}")
        click.echo(f"   expected {finding.get('expected')}, found {finding.get('found')}")

    _say("5. Refused: a proof that was used before. Somebody has copied a request and sends it again:")
    token = context.token()
    first, again = _same_request_twice(asked, token, source)
    _expect(first, 200, b"")
    _expect(again.status, 401, again.body)
    click.echo(f"   {again.status} {json.loads(again.body)['error_description']}")
    click.echo(f"   WWW-Authenticate: {again.header('WWW-Authenticate')}")

    _say("6. Refused: the same token for another patient than the attested one:")
    method, url, rest = _search(source, OTHER_PATIENT)
    other = context.request(method, url, **rest)
    _expect(other.status, 403, other.body)
    click.echo(f"   {other.status} {other.body.decode()}")
    click.echo(
        "   (the answer says no more, so that it cannot tell whether that patient has blocked anybody;"
    )
    click.echo(
        "    the source's own log names rule ATT-4: the token serves the attested patient and no other)"
    )


def _search(source: str, patient: str) -> tuple[str, str, dict[str, Any]]:
    """A search by form, which keeps the patient's number out of addresses."""
    form = {
        "headers": [("Content-Type", "application/x-www-form-urlencoded")],
        "body": urlencode({"patient": patient}).encode(),
    }
    return "POST", f"{source}/documents/search", form


def _same_request_twice(asked: "Asked", token: "Token", source: str) -> Any:
    from tillit.outbound.transport import Request, sender
    from tillit.protocol.dpop import make_proof

    method, url, rest = _search(source, PATIENT)
    proof = make_proof(asked.dpop_key, method, url, now=time.time(), access_token=token.value)
    headers = (("Authorization", f"DPoP {token.value}"), ("DPoP", proof), *rest["headers"])
    send, request = sender(None), Request(method, url, headers, rest["body"])
    return send(request).status, send(request)


def _asked(issuer: str, data: Path) -> "Asked":
    from tillit.protocol.jose import generate_key
    from tillit_server.cli.tokens import Asked, load_key

    key = load_key(data / "clients" / f"{CLIENT}.jwk")
    return Asked(issuer, CLIENT, key, generate_key("ES256"), scope=SCOPE)


def _payload(token: str) -> dict[str, Any]:
    from tillit.protocol.gate import MAX_ASSERTION_BYTES, read_jws

    return read_jws(token, max_bytes=MAX_ASSERTION_BYTES).claims


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def _running(command: list[str], url: str, log: Path) -> Iterator[None]:
    """A process of the demo, once it answers; stopped at the end."""
    with (
        log.open("wb") as file,
        subprocess.Popen(  # noqa: S603 (our own programs)
            command, stdout=file, stderr=file
        ) as process,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    fail(f"{Path(command[0]).name} did not start:\n{log.read_text(errors='replace')}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    from tillit.outbound.transport import Request, TransportError, sender

    try:
        return sender(None)(Request("GET", url)).status > 0
    except TransportError:
        return False


def _expect(found: object, expected: object, body: bytes) -> None:
    if found != expected:
        fail(f"the demo expected {expected} and got {found} {body.decode(errors='replace')}")


def _say(text: str) -> None:
    click.secho(f"\n{text}", bold=True)
