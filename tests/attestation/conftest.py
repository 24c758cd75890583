"""What the tests of this room share: the development registers, the vectors and a circumstance to start from."""

import json
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tillit.attestation.registers import Registers, registers_from
from tillit.attestation.rulebook import Circumstances

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors" / "attestation"

NOW = 1768465812
SIGNED = 1768465800


@pytest.fixture(scope="session")
def registers() -> Registers:
    """The registers of `config/registers`."""
    folder = ROOT / "config" / "registers"
    names = ("hpr", "organisations", "membership")
    return registers_from(**{name: tomllib.loads((folder / f"{name}.toml").read_text()) for name in names})


@pytest.fixture(scope="session")
def example() -> Callable[[str], dict[str, Any]]:
    """An example by name, fresh at every call: its `input`, its `person` and the `claim` it becomes."""
    return lambda name: json.loads((VECTORS / "examples" / f"{name}.json").read_text())


@pytest.fixture
def sent(example: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The specialist's attestation, with the practitioner named."""
    value: dict[str, Any] = example("specialist-care")["input"]
    value["practitioner"]["identifier"] = {"id": "14857527039", "system": "urn:oid:2.16.578.1.12.4.1.4.1"}
    return value


@pytest.fixture(scope="session")
def after_login(registers: Registers) -> Callable[..., Circumstances]:
    """Circumstances after a login at level high, twelve seconds after the carrier was signed."""
    return partial(circumstances, registers=registers, authenticated_person="14857527039", security_level="4")


@pytest.fixture(scope="session")
def without_login(registers: Registers) -> Callable[..., Circumstances]:
    """Circumstances of a client whose enterprise vouches for the practitioner itself."""
    return partial(
        circumstances, registers=registers, established_by="legal_entity", may_attest_without_login=True
    )


def circumstances(**known: Any) -> Circumstances:
    return Circumstances(**{"now": NOW, "carrier_iat": SIGNED, "synthetic_identifiers": True, **known})
