"""``tillit attest``: judge an attestation before anybody else does, and print the table of rules."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tillit_server.cli.output import UNREADABLE, fail, output_option, print_json, print_table

# What only the login, or the registers about the person who logged in, can answer.
_NEEDS_LOGIN = frozenset({"ATT-9", "ATT-11", "ATT-29b", "ATT-32"})
_CARRIERS = ("assertion_details", "authorization_details")


@click.group()
def attest() -> None:
    """Attestations: judge one, or list the rules."""


@attest.command()
@output_option
def rules(output: str) -> None:
    """Print every rule of the trust framework and how it is kept."""
    from tillit.attestation.rulebook import RULE_PACK_VERSION, RULES

    rows = [
        {
            "rule": row.id,
            "attribute": row.attribute,
            "title": row.title,
            "parties": sorted(row.parties),
            "kind": type(row.basis).__name__.lower(),
            "how": _how(row.basis),
        }
        for row in RULES
    ]
    if output == "json":
        print_json({"rule_pack_version": RULE_PACK_VERSION, "rules": rows})
        return
    print_table(
        ("rule", "kind", "attribute", "demands", "how"),
        [[row[name] for name in ("rule", "kind", "attribute", "title", "how")] for row in rows],
    )
    click.echo(f"{len(rows)} rules, rule pack {RULE_PACK_VERSION}")


@attest.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--at", type=float, default=None, help="Judge as of this instant (Unix seconds); default now.")
@click.option(
    "--registers",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Directory of register files; default the development registers.",
)
@click.option("--without-login", is_flag=True, help="Judge as for a client that attests without login.")
@output_option
def check(file: Path, at: float | None, registers: Path | None, *, without_login: bool, output: str) -> None:
    """Judge the attestation in FILE and print every rule with its verdict.

    FILE holds the attestation as an object or in an array, or the whole payload of a JWT that carries it.
    An attestation without practitioner.identifier is judged as far as can be told before the login.
    Exit code: 0 accepted, 1 refused, 2 unreadable.
    """
    from tillit.attestation.circumstances import Circumstances, Party
    from tillit.attestation.rulebook import RULE_PACK_VERSION, RULES, examine
    from tillit_server.config import SHIPPED_CONFIG
    from tillit_server.issuer.registers import RegisterFileError, load_registers

    details, carrier_iat = _read(file)
    now = time.time() if at is None else at
    try:
        asked = load_registers(registers or SHIPPED_CONFIG / "registers")
    except RegisterFileError as error:
        fail(str(error), UNREADABLE)
    before_login = not without_login and not _names_practitioner(details)
    circumstances = Circumstances(
        now=now,
        carrier_iat=int(now) if carrier_iat is None else carrier_iat,
        registers=asked,
        synthetic_identifiers=True,
        established_by="login" if before_login else "legal_entity",
        security_level="4" if before_login else None,
        may_attest_without_login=True,
    )
    examination = examine(
        details,
        carrier_iat=circumstances.carrier_iat or int(now),
        party=Party.TRUST_ANCHOR,
        circumstances=circumstances,
    )
    violations = [v for v in examination.violations if not (before_login and v.rule in _NEEDS_LOGIN)]
    refused_by = {violation.rule for violation in violations}
    verdicts = [
        {"rule": row.id, "title": row.title, "verdict": _verdict(row, refused_by, before_login=before_login)}
        for row in RULES
    ]
    findings = [
        {
            "rule": v.rule,
            "error": v.code,
            "pointer": v.pointer,
            "description": v.description,
            "expected": v.expected,
            "found": v.found,
            "clock_difference": v.clock_difference,
        }
        for v in violations
    ]
    if output == "json":
        print_json(
            {
                "accepted": not violations,
                "rule_pack_version": RULE_PACK_VERSION,
                "findings": findings,
                "remarks": [f"{r.rule}: {r.path}: {r.text}" for r in examination.remarks],
                "notes": list(examination.notes),
                "rules": verdicts,
            }
        )
    else:
        print_table(("rule", "verdict", "demands"), [(v["rule"], v["verdict"], v["title"]) for v in verdicts])
        for note in (*examination.notes, *(f"{r.rule}: {r.path}: {r.text}" for r in examination.remarks)):
            click.echo(f"note: {note}")
        for violation in violations:
            click.echo(f"refused: {violation.description}")
        click.echo("refused" if violations else "accepted")
    raise SystemExit(1 if violations else 0)


def _how(basis: Any) -> str:
    match type(basis).__name__:
        case "Check":
            return f"{basis.rule.__module__}.{basis.rule.__name__}"
        case "Register":
            return f"{basis.rule.__module__}.{basis.rule.__name__}, asks {basis.name}"
        case "Kept":
            return f"{basis.module}, {basis.test}"
        case _:
            return f"{basis.to}: {basis.why}"


def _verdict(row: Any, refused_by: set[str], *, before_login: bool) -> str:
    kind = type(row.basis).__name__
    if kind == "Kept":
        return "kept by the system"
    if kind == "Left":
        return f"left to {row.basis.to}"
    if row.id in refused_by:
        return "REFUSED"
    if before_login and row.id in _NEEDS_LOGIN:
        return "needs the login"
    return "accepted"


def _read(file: Path) -> tuple[Any, int | None]:
    """The details in ``file``, and ``iat`` when it is the payload of a JWT."""
    from tillit.protocol.errors import Rejected
    from tillit.protocol.gate import read_json

    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        document = read_json(data)
    except OSError as error:
        fail(f"{file}: cannot be read ({type(error).__name__})", UNREADABLE)
    except Rejected as error:
        fail(f"{file}: {error}", UNREADABLE)
    if not isinstance(document, dict | list):
        fail(f"{file}: an object or an array needed", UNREADABLE)
    if isinstance(document, dict):
        for carrier in _CARRIERS:
            if carrier in document:
                iat = document.get("iat")
                return document[carrier], iat if type(iat) is int else None
    return document, None


def _names_practitioner(details: Any) -> bool:
    elements = details if isinstance(details, list) else [details]
    for element in elements:
        practitioner = element.get("practitioner") if isinstance(element, Mapping) else None
        if isinstance(practitioner, Mapping) and "identifier" in practitioner:
            return True
    return False
