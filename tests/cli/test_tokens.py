"""`tillit token` and `tillit explain`: the same request, answered or explained, for people and for programs."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from support.ehr import ATTESTATION, attestation
from support.service import PHR, Service, free_port
from support.shell import Shell, one_line
from tillit.protocol.gate import MAX_ASSERTION_BYTES, read_jws
from tillit.protocol.jose import SigningKey, generate_key, private_jwk, private_pem

EXPIRED = attestation() | {"toa": 1}
STEPS = [
    "known_grant",
    "authenticated_client",
    "fresh_proof",
    "allowed_grant",
    "unseen",
    "basis_of_grant",
    "narrowed_scope",
    "accepted_attestation",
]


@pytest.fixture(scope="module")
def key(service: Service) -> SigningKey:
    """The key of the client that all tests here ask as."""
    return service.add_client("cli-token")


@pytest.fixture
def caller(shell: Shell, key: SigningKey) -> tuple[str, ...]:
    """The options by which the commands ask as that client."""
    return shell.asking("cli-token", key)


def test_a_token_is_fetched_and_nothing_else_is_printed(shell: Shell, caller: tuple[str, ...]):
    """``tillit token`` prints the token alone, so that a script can take it; it is bound and attested."""
    done = shell.run("token", *caller, "--attestation", shell.file(ATTESTATION), "--scope", PHR)
    token = read_jws(done.stdout.strip(), max_bytes=MAX_ASSERTION_BYTES)
    assert token.header["typ"] == "at+jwt"
    assert token.claims["scope"] == [PHR]
    assert token.claims["nhn:tillitsrammeverk:parameters"]["practitioner"]["identifier"]["name"]
    assert token.claims["cnf"]["jkt"]


def test_a_token_as_json_with_a_key_in_pem_and_a_dpop_key_of_ones_own(shell: Shell, key: SigningKey):
    """The whole answer is printed as JSON; the client's key may be PEM, and the proof's key may be given."""
    dpop_key = generate_key("ES256")
    asking = ["--issuer", shell.service.issuer, "--client-id", "cli-token"]
    asking += ["--key", shell.file(private_pem(key, None)), "--dpop-key", shell.file(private_jwk(dpop_key))]
    done = shell.run("token", *asking, "--attestation", shell.file([ATTESTATION]), "--output", "json")
    answer = json.loads(done.stdout)
    assert (answer["token_type"], answer["expires_in"]) == ("DPoP", 600)
    claims = read_jws(answer["access_token"], max_bytes=MAX_ASSERTION_BYTES).claims
    assert claims["cnf"]["jkt"] == dpop_key.public.thumbprint


def test_a_refusal_is_told_with_its_error_id(shell: Shell, caller: tuple[str, ...]):
    """A refused request exits 1 with the code, the rule and the error id under which the log knows more."""
    done = shell.run("token", *caller, "--attestation", shell.file(EXPIRED), exit_code=1)
    assert done.stdout == ""
    refused, error_id = done.stderr.splitlines()
    assert refused.startswith("refused: invalid_authorization_details: ATT-58")
    assert error_id.removeprefix("error id: ") in shell.service.log()
    done = shell.run("token", *caller, "--scope", "openid", "--output", "json", exit_code=1)
    assert json.loads(done.stdout)["error"] == "invalid_scope"


def test_an_accepted_request_is_explained(shell: Shell, caller: tuple[str, ...]):
    """``tillit explain`` says what would be granted, lists every step, and exits 0."""
    request = (*caller, "--attestation", shell.file(ATTESTATION), "--scope", PHR)
    report = json.loads(shell.run("explain", *request, "--output", "json").stdout)
    assert report["verdict"] == "accepted"
    assert {(step["step"], step["verdict"]) for step in report["steps"]} == {
        (name, "passed") for name in STEPS
    }
    assert report["would_grant"]["audience"] == "nhn:phr"


def test_a_refused_request_is_explained_to_people(shell: Shell, caller: tuple[str, ...]):
    """Every finding is printed with rule, pointer and what was expected, not only the first; it exits 1."""
    twice = attestation(practitioner__authorization__code="XX") | {"toa": 1}
    done = shell.run("explain", *caller, "--attestation", shell.file(twice), exit_code=1)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(STEPS)]] == STEPS
    assert lines[-1] == "verdict: refused"
    for told in ("ATT-58c: ", "ATT-32: ", "  pointer: /toa", "  pointer: /practitioner/authorization/code"):
        assert told in done.stdout
    assert "14857527039" not in done.stdout


def test_a_stranger_is_explained_too(shell: Shell):
    """In development mode even a failed client authentication is explained, and the steps that need it named."""
    asking = shell.asking("cli-stranger", generate_key("ES256"))
    done = shell.run("explain", *asking, exit_code=1)
    assert "unknown client" in done.stdout
    assert "needs authenticated_client" in done.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x00", "not valid JSON"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "key"),
        (b'{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}', ""),
        (b"[]", "a private key as JWK or PEM needed"),
    ],
)
def test_a_key_that_cannot_be_used_is_told_in_one_line(content: bytes, told: str, shell: Shell):
    """A file that is no private key ends in exit code 2, one line that names it, and no request."""
    path = shell.file(content)
    done = shell.run("token", "--client-id", "x", "--key", path, exit_code=2)
    assert one_line(done).startswith(f"{path}: ")
    assert told in done.stderr


def test_nobody_answering_is_told_in_one_line(shell: Shell, caller: tuple[str, ...]):
    """A service that is not there ends in exit code 2 and one line with the issuer's address."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert one_line(shell.run("token", *caller, "--issuer", nowhere, exit_code=2)).startswith(nowhere)
    missing = str(Path(shell.home) / "missing.json")
    done = shell.run("explain", *caller, "--attestation", missing, exit_code=2)
    assert "missing.json: cannot be read" in one_line(done)


class _BrokenProxy(BaseHTTPRequestHandler):
    """Publishes metadata, and answers everything else as a proxy does whose service is away."""

    def do_GET(self) -> None:
        issuer = f"http://127.0.0.1:{self.server.server_address[1]}"
        document = {"issuer": issuer, "token_endpoint": f"{issuer}/token", "jwks_uri": f"{issuer}/jwks"}
        self._answer(200, "application/json", json.dumps(document).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(502, "text/html", b"<html>Bad Gateway</html>")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def test_an_answer_that_is_not_ours_is_told_in_one_line(shell: Shell):
    """What a proxy says in place of the service ends in exit code 2 and a line, for both commands."""
    key = shell.file(private_jwk(generate_key("ES256")))
    with HTTPServer(("127.0.0.1", 0), _BrokenProxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        issuer = f"http://127.0.0.1:{proxy.server_address[1]}"
        asking = ("--issuer", issuer, "--client-id", "x", "--key", key)
        told = [one_line(shell.run(command, *asking, exit_code=2)) for command in ("token", "explain")]
        proxy.shutdown()
        thread.join()
    assert told == ["HTTP 502: the answer is not a JSON object"] * 2
