"""Put the private keys of the suite's clients into its configuration files.

    python config/conformance/fill.py

The service makes the keys at its first start. What comes out is ready to be pasted into the suite, and must
not be committed: it goes to a directory beside the service's data.
"""
# ruff: noqa: INP001, T201  a script that talks to its user

import argparse
import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEY_OF = "key of "
"""A string that begins so stands for the private key of the client it names."""


def filled(value: Any, clients: Path) -> Any:
    """`value` with every placeholder replaced by the private JWK in `clients`."""
    if isinstance(value, dict):
        return {name: filled(member, clients) for name, member in value.items()}
    if isinstance(value, list):
        return [filled(element, clients) for element in value]
    if isinstance(value, str) and value.startswith(KEY_OF):
        jwk = json.loads((clients / f"{value.removeprefix(KEY_OF)}.jwk").read_bytes())
        return {**jwk, "use": "sig"}
    return value


def main() -> None:
    """Fill every file."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--data", type=Path, default=Path(".conformance"), help="The service's directory.")
    arguments.add_argument("--output", type=Path, help="Where to; DATA/suite if not given.")
    given = arguments.parse_args()
    output: Path = given.output or given.data / "suite"
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    for template in sorted((HERE / "suite").glob("*.json")):
        document = filled(json.loads(template.read_text(encoding="utf-8")), given.data / "clients")
        target = output / template.name
        target.touch(mode=0o600)
        target.write_text(json.dumps(document, indent=2), encoding="utf-8")
        print(target)


if __name__ == "__main__":
    main()
