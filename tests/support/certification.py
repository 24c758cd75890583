"""A certification run: the shipped configuration behind TLS, its clients, and its protected resource."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.commands import TILLIT, run
from support.ehr import Answer
from support.login import LoginEhr
from support.relying_party import RelyingParty
from support.service import Service, clean_environment, free_port, http
from support.tls import Terminator, make_certificate
from support.visitor import Visitor
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import generate_key, load_private_jwk, private_jwk

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "config" / "conformance"
BASE = "https://localhost.emobix.co.uk:8443/test/a/tillit"
CLIENTS = (("fapi-1", "fapi-ms-1", "fapi-cc-1"), ("fapi-2", "fapi-ms-2", "fapi-cc-2", "accounts"))
SCOPE = "openid profile offline_access accounts"


class CertifiedParty(RelyingParty):
    """A client of a run: no nonce is demanded, and none is sent."""

    def nonce(self) -> Any:
        """Nothing: ``proof`` leaves the claim out."""
        return ...


class CertifiedService(Service):
    """The service with the shipped settings, known by an https address that something else answers at."""

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        settings = (CONFIGURATION / "tillit.toml").read_text(encoding="utf-8")
        file = data / "tillit.toml"
        file.write_text(settings.replace('"config/conformance"', f'"{CONFIGURATION}"'), encoding="utf-8")
        self.resource_port = free_port()
        self.tls = Terminator(make_certificate(data), self.port, {"/accounts": self.resource_port})
        self.issuer = self.origin = f"https://localhost:{self.tls.port}"
        self.origins.append(self.issuer)
        self.arguments = ["--config", str(file), "--issuer", self.issuer]
        self.registered = ""

    def prepare(self) -> None:
        """Make the keys beforehand, and only two pairs for all clients: RSA takes its time."""
        directory = self.data / "clients"
        directory.mkdir(mode=0o700)
        for clients in CLIENTS:
            key = generate_key("PS256", rsa_bits=2048)
            for client in clients:
                text = json.dumps(private_jwk(key))
                (directory / f"{client}.jwk").write_text(text, encoding="utf-8")
        # As the page says it, from the root of the repository.
        command = [TILLIT, "clients", "list", "--config", "config/conformance/tillit.toml"]
        done = run(
            [*command, "--data", str(self.data)],
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.registered = done.stdout


class Certification:
    """The running service and what a suite brings to it."""

    def __init__(self, service: CertifiedService) -> None:
        self.service = service
        self.accounts = f"{service.issuer}/accounts"

    def client(self, client_id: str, redirect_uri: str = f"{BASE}/callback") -> CertifiedParty:
        """One of the shipped clients, with the key that the service has made for it."""
        jwk = json.loads((self.service.data / "clients" / f"{client_id}.jwk").read_bytes())
        party = CertifiedParty.of(LoginEhr(self.service, client_id, load_private_jwk(jwk)))
        party.redirect_uri = redirect_uri
        return party

    def ask(self, party: RelyingParty, token: str, *, scheme: str = "DPoP", **headers: str) -> Answer:
        """Call the protected resource with a token and a good proof."""
        proof = make_proof(party.dpop_key, "GET", self.accounts, now=self.service.now(), access_token=token)
        sent = {"Authorization": f"{scheme} {token}", "DPoP": proof, **headers}
        return Answer(*http("GET", self.accounts, headers=sent))

    def visitor(self) -> Visitor:
        """A browser that trusts the certificate."""
        visitor = Visitor(self.service)
        visitor.session.verify = str(self.service.tls.certificate)
        return visitor


@contextmanager
def certification(data: Path) -> Iterator[Certification]:
    """Everything of a run, started and stopped."""
    service = CertifiedService(data)
    service.prepare()
    command = [sys.executable, str(CONFIGURATION / "resource.py"), "--issuer", service.issuer]
    command += ["--address", f"http://127.0.0.1:{service.port}", "--base-url", service.issuer]
    command += ["--data", str(data), "--port", str(service.resource_port)]
    with service.tls, service, (data / "resource.log").open("wb") as log:
        resource = subprocess.Popen(command, stdout=log, stderr=log, env=clean_environment())
        try:
            _wait_for(service.resource_port)
            yield Certification(service)
        finally:
            resource.terminate()
            resource.wait(10)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the resource did not start")
