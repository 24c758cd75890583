"""What tests of the command line share: files for its options, and commands beside a running service."""

import json
import subprocess
from pathlib import Path
from typing import Any

from support.service import Service, run_cli
from tillit.protocol.jose import SigningKey, private_jwk

Done = subprocess.CompletedProcess[str]


class Shell:
    """Commands of one person at a terminal, in a directory of her own."""

    def __init__(self, service: Service, home: Path) -> None:
        self.service = service
        self.home = home
        self._files = 0

    def file(self, content: Any) -> str:
        """Write a file, octets as they are and anything else as JSON, and give its path."""
        self._files += 1
        path = self.home / f"{self._files}.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    def run(self, *arguments: str, exit_code: int = 0) -> Done:
        """Run a command to its end; the exit code must be as given."""
        done = run_cli(*arguments, check=False)
        assert done.returncode == exit_code, f"{arguments}: {done.returncode} {done.stdout}{done.stderr}"
        return done

    def operate(self, *arguments: str, exit_code: int = 0) -> Done:
        """Run a command that speaks of the service's installation, beside its running workers."""
        return self.run(*arguments, "--data", str(self.service.data), exit_code=exit_code)

    def caller(self, client_id: str) -> tuple[str, ...]:
        """Register a client, and give the options by which ``token`` and ``explain`` ask as that client."""
        return (*self.asking(client_id, self.service.add_client(client_id)),)

    def asking(self, client_id: str, key: SigningKey) -> tuple[str, ...]:
        """The options by which ``token`` and ``explain`` ask as a client."""
        return (
            "--issuer",
            self.service.issuer,
            "--client-id",
            client_id,
            "--key",
            self.file(private_jwk(key)),
        )


def one_line(done: Done) -> str:
    """What a command that failed said: one readable line, and nothing that a program would throw."""
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr.strip()
