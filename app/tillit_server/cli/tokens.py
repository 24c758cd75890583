"""``tillit token`` and ``tillit explain``: the same request, sent to be answered or to be explained."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tillit_server.cli.output import UNREADABLE, fail, output_option, print_json, print_table

if TYPE_CHECKING:
    from tillit.outbound.transport import Request, Response
    from tillit.protocol.jose import SigningKey


def request_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a token request is made of."""
    path = click.Path(path_type=Path, dir_okay=False)
    for option in (
        click.option("--resource", default=None, help="The audience, where scopes belong to several."),
        click.option("--scope", default=None, help="Blank-separated; default: all API scopes of the client."),
        click.option(
            "--attestation",
            type=path,
            default=None,
            help="A file with the details to attest, sent as they are.",
        ),
        click.option("--dpop-key", type=path, default=None, help="Private JWK; default: a new ES256 key."),
        click.option("--key", type=path, required=True, help="The client's private key: JWK or PEM."),
        click.option("--client-id", required=True),
        click.option("--issuer", default="http://127.0.0.1:8080", show_default=True),
    ):
        function = option(function)
    return function


@click.command()
@request_options
@output_option
def token(output: str, **given: Any) -> None:
    """Fetch an access token by client credentials. Exit code 1 when it is refused."""
    response = send_request(_asked(given), explain=False)
    body = _document(response)
    if output == "json":
        print_json(body)
    elif response.status == HTTPStatus.OK:
        click.echo(body["access_token"])
    else:
        click.echo(f"refused: {body.get('error')}: {body.get('error_description')}", err=True)
        click.echo(f"error id: {response.header('Error-Id')}", err=True)
    raise SystemExit(0 if response.status == HTTPStatus.OK else 1)


@click.command()
@request_options
@output_option
def explain(output: str, **given: Any) -> None:
    """Have the service explain a token request, step by step. Exit code 1 when it would be refused."""
    response = send_request(_asked(given), explain=True)
    report = _document(response)
    if output == "json":
        print_json(report)
    elif "steps" in report:
        print_report(report)
    else:
        click.echo(f"refused: {report.get('error')}: {report.get('error_description')}", err=True)
    raise SystemExit(0 if report.get("verdict") == "accepted" else 1)


def print_report(report: dict[str, Any]) -> None:
    """An explanation for people: a line for each step, then each finding."""
    print_table(
        ("step", "verdict", "why"),
        [
            (
                step["step"],
                step["verdict"],
                step.get("description") or (f"needs {step['needs']}" if "needs" in step else ""),
            )
            for step in report["steps"]
        ],
    )
    for step in report["steps"]:
        for finding in step.get("findings", ()):
            _print_finding(finding)
        if step["verdict"] == "refused" and "findings" not in step:
            _print_finding({"rule": step["step"], **step})
    click.echo(f"verdict: {report['verdict']}")


def _print_finding(finding: dict[str, Any]) -> None:
    click.echo(f"\n{finding.get('rule')}: {finding.get('description', '')}")
    for name in ("error", "pointer", "expected", "found", "clock_difference"):
        if finding.get(name) is not None:
            click.echo(f"  {name.replace('_', ' ')}: {finding[name]}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A token request to be made; ``details`` are sent as they are, good or bad."""

    issuer: str
    client_id: str
    key: "SigningKey"
    dpop_key: "SigningKey"
    details: Any = None
    scope: str | None = None
    resource: str | None = None


def _asked(given: dict[str, Any]) -> Asked:
    from tillit.protocol.jose import generate_key

    return Asked(
        issuer=given["issuer"],
        client_id=given["client_id"],
        key=load_key(given["key"]),
        dpop_key=load_key(given["dpop_key"]) if given["dpop_key"] else generate_key("ES256"),
        details=_details(given["attestation"]),
        scope=given["scope"],
        resource=given["resource"],
    )


def send_request(asked: Asked, *, explain: bool) -> "Response":
    """Make the request and send it to be answered or explained; once more when only a nonce is missing.

    Leaves with one line when nobody answers.
    """
    from tillit.client.discovery import Discovery
    from tillit.client.errors import ClientError
    from tillit.client.token_request import client_credentials_request
    from tillit.outbound.transport import TransportError, sender
    from tillit.protocol.client_assertion import make_assertion
    from tillit.protocol.dpop import make_proof

    send = sender(None)

    def build(nonce: str | None) -> "Request":
        now = time.time()
        return client_credentials_request(
            token_endpoint,
            client_id=asked.client_id,
            assertion=make_assertion(
                asked.key, asked.client_id, asked.issuer, now=now, assertion_details=asked.details
            ),
            proof=make_proof(asked.dpop_key, "POST", token_endpoint, now=now, nonce=nonce),
            scope=asked.scope,
            resource=asked.resource,
        )

    try:
        token_endpoint = Discovery(asked.issuer, send=send, clock=time.time).token_endpoint()
        url = f"{asked.issuer}/explain" if explain else token_endpoint
        response = send(replace(build(None), url=url))
        nonce = response.header("DPoP-Nonce")
        # A successful answer carries a nonce too, for the next request.
        if nonce and b"use_dpop_nonce" in response.body:
            response = send(replace(build(nonce), url=url))
    except (TransportError, ClientError) as error:
        fail(f"{asked.issuer}: {error}", UNREADABLE)
    return response


def _document(response: "Response") -> dict[str, Any]:
    """The JSON object that was answered. Leaves with one line when something else came, as from a proxy."""
    from tillit.protocol.errors import Rejected
    from tillit.protocol.gate import read_json

    try:
        document = read_json(response.body)
    except Rejected:
        document = None
    if not isinstance(document, dict):
        fail(f"HTTP {response.status}: the answer is not a JSON object", UNREADABLE)
    return document


def load_key(path: Path) -> "SigningKey":
    """The private key in ``path``, a JWK or PEM (ES256 assumed for a P-256 PEM). Leaves with one line."""
    from tillit.protocol.errors import Rejected
    from tillit.protocol.gate import read_json
    from tillit.protocol.jose import load_private_jwk, load_private_pem

    try:
        data = path.read_bytes()
        if data.lstrip().startswith(b"-----"):
            return load_private_pem(data, "ES256")
        jwk = read_json(data)
        if not isinstance(jwk, dict):
            fail(f"{path}: a private key as JWK or PEM needed", UNREADABLE)
        return load_private_jwk(jwk)
    except OSError as error:
        fail(f"{path}: cannot be read ({type(error).__name__})", UNREADABLE)
    except (Rejected, ValueError) as error:
        fail(f"{path}: {error}", UNREADABLE)


def _details(path: Path | None) -> Any:
    from tillit.protocol.errors import Rejected
    from tillit.protocol.gate import read_json

    if path is None:
        return None
    try:
        return read_json(path.read_bytes())
    except OSError as error:
        fail(f"{path}: cannot be read ({type(error).__name__})", UNREADABLE)
    except Rejected as error:
        fail(f"{path}: {error}", UNREADABLE)
