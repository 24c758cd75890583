"""The example document source as a process of its own, and what it writes down about who saw what."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from support.service import START_SECONDS, STOP_SECONDS, Service, free_port, http

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FORM = ("Content-Type", "application/x-www-form-urlencoded")


class DocumentSource:
    """`docs/examples/document_source.py`, trusting the service it is given. Use it in a `with` block."""

    def __init__(self, service: Service, home: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = home / "source.log"
        self._issuer = service.issuer
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, str(EXAMPLES / "document_source.py"), "--issuer", self._issuer]
        command += ["--port", self.url.rpartition(":")[2]]
        with self._log.open("ab") as log:
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(STOP_SECONDS)

    def _answers(self) -> bool:
        try:
            return http("GET", self.url, timeout=1)[0] > 0
        except OSError:
            return False

    def search(self, patient: str) -> tuple[str, str, dict[str, Any]]:
        """Method, address and the rest of a search for a patient's documents."""
        body = urlencode({"patient": patient}).encode()
        return "POST", f"{self.url}/documents/search", {"headers": [FORM], "body": body}

    def written_down(self) -> list[str]:
        """What it has written for the citizen, oldest first."""
        return [line for line in self._log.read_text(encoding="utf-8").splitlines() if "decision" in line]


def example(name: str) -> dict[str, Any]:
    """An attestation of docs/examples."""
    document: dict[str, Any] = json.loads((EXAMPLES / f"attestation-{name}.json").read_text(encoding="utf-8"))
    return document
