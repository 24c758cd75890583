"""Debian's SoftHSM2 for tests: a real PKCS#11 module whose tokens are directories of files."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tillit_server.signing.key_stores import TokenPlace

NO_SOFTHSM = "there is no SoftHSM2 here: `make hsm` gets it"
PIN = "271828"
_ROOT = Path(__file__).parents[2]
_ROOTS = (Path("/"), _ROOT / ".cache" / "softhsm")


def module() -> Path:
    """The module. Skips the test where there is none, or fails it where REQUIRE_SOFTHSM demands one."""
    named = os.environ.get("SOFTHSM")
    places = [Path(named)] if named else [root / "usr/lib/softhsm/libsofthsm2.so" for root in _ROOTS]
    for place in places:
        if place.exists():
            return place
    if os.environ.get("REQUIRE_SOFTHSM"):
        pytest.fail(NO_SOFTHSM)
    pytest.skip(NO_SOFTHSM)


@dataclass(frozen=True)
class SoftHsm:
    """A directory of tokens, its configuration and the PIN file. One token with the label ``tillit``."""

    directory: Path
    module: Path
    label: str = "tillit"

    @property
    def tokens(self) -> Path:
        """What may be taken away, as a device is unplugged."""
        return self.directory / "tokens"

    @property
    def configuration(self) -> Path:
        """For ``SOFTHSM2_CONF``."""
        return self.directory / "softhsm2.conf"

    @property
    def pin_file(self) -> Path:
        """The PIN, mode 0600."""
        return self.directory / "pin"

    def settings(self) -> dict[str, Any]:
        """The settings of an installation that keeps its keys here."""
        return {
            "custody": "pkcs11",
            "pkcs11_module": str(self.module),
            "pkcs11_label": self.label,
            "pkcs11_pin_file": str(self.pin_file),
        }

    def place(self, sessions: int = 4) -> TokenPlace:
        """The same, for who opens the store itself."""
        return TokenPlace(self.module, self.label, self.pin_file, sessions)

    @contextmanager
    def configured(self) -> Iterator[None]:
        """Here this process, and those it starts, find the tokens."""
        before = os.environ.get("SOFTHSM2_CONF")
        os.environ["SOFTHSM2_CONF"] = str(self.configuration)
        try:
            yield
        finally:
            os.environ.pop("SOFTHSM2_CONF")
            if before is not None:
                os.environ["SOFTHSM2_CONF"] = before

    def write_pin(self, pin: str) -> None:
        """Put a PIN into the file."""
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(pin + "\n", encoding="utf-8")

    def add_token(self, label: str) -> "SoftHsm":
        """One more token in the same directory, for somebody who has not started the module yet."""
        tool = next(
            root / "usr/bin/softhsm2-util" for root in _ROOTS if (root / "usr/bin/softhsm2-util").exists()
        )
        command = [tool, "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", PIN * 2]
        subprocess.run(
            [*command, "--module", self.module],
            env={**os.environ, "SOFTHSM2_CONF": str(self.configuration)},
            check=True,
            capture_output=True,
        )
        return SoftHsm(self.directory, self.module, label)

    def take_away(self) -> None:
        """Every file of every token is gone."""
        self.tokens.rename(self.directory / "away")

    def bring_back(self) -> None:
        """And there again."""
        (self.directory / "away").rename(self.tokens)


def make_softhsm(directory: Path) -> SoftHsm:
    """An empty directory of tokens. Skips the test where there is no SoftHSM2."""
    hsm = SoftHsm(directory, module())
    hsm.tokens.mkdir(parents=True)
    hsm.configuration.write_text(
        f"directories.tokendir = {hsm.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n",
        encoding="utf-8",
    )
    hsm.write_pin(PIN)
    return hsm


def fresh_label() -> str:
    """A label nobody has used."""
    return f"tillit-{secrets.token_hex(4)}"
