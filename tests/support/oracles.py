"""Slow second opinions: what other libraries, or plain code written from the texts, make of an input.

Each gives what the input means, or raises ``Disagrees`` where it should have been refused.
"""

import base64
import json
import math
import re
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import jwt
from joserfc import jwk as other_jwk
from joserfc import jws as other_jws

from support.tokens import b64

CONFIG = Path(__file__).parents[2] / "config"
ALLOWED = {"ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA", "RS256"}
LARGEST_INTEGER = 2**53
_PERSON_WEIGHTS = ((3, 7, 6, 1, 8, 9, 4, 5, 2, 1), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1))
_ENTERPRISE_WEIGHTS = (3, 2, 7, 6, 5, 4, 3, 2, 1)


class Roomy(other_jws.JWSRegistry):
    """joserfc with room for what we take: headers with a key in them, payloads with an attestation."""

    max_header_length = max_payload_length = max_signature_length = 200_000


class Disagrees(AssertionError):
    """The oracle refuses what was accepted, or reads it otherwise."""


def json_value(text: bytes, *, max_depth: int) -> Any:
    """What JSON text means, by the standard library, with every check done the slow way on the parsed value."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_none)
    except (ValueError, RecursionError) as error:
        raise Disagrees(f"JSON: {type(error).__name__}") from error
    _judge_value(value, max_depth)
    return value


def _each_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in members}) != len(members):
        raise Disagrees("JSON: a member twice")
    return dict(members)


def _none(name: str) -> Any:
    raise Disagrees(f"JSON: {name}")


def _judge_value(value: Any, levels: int) -> None:
    if isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
        raise Disagrees("JSON: NUL, or half a pair of surrogates")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_INTEGER:
        raise Disagrees("JSON: beyond 2**53")
    if isinstance(value, float) and math.isinf(value):
        raise Disagrees("JSON: beyond a double")
    if isinstance(value, dict | list):
        if levels == 0:
            raise Disagrees("JSON: too deep")
        for name in value if isinstance(value, dict) else ():
            _judge_value(name, levels)
        for item in value.values() if isinstance(value, dict) else value:
            _judge_value(item, levels - 1)


def compact_jws(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a compact JWS, by PyJWT and by joserfc, which must agree with plain code."""
    parts = token.split(".")
    if len(parts) != 3 or any(
        b64(base64.urlsafe_b64decode(part + "==")) != part or not part for part in parts
    ):
        raise Disagrees("JWS: not three canonical parts")
    header, claims = (json_value(base64.urlsafe_b64decode(part + "=="), max_depth=32) for part in parts[:2])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise Disagrees("JWS: not two objects")
    if header.get("alg") not in ALLOWED or {"crit", "b64", "jku", "x5u", "x5c", "zip", "enc"} & set(header):
        raise Disagrees("JWS: header")
    try:
        theirs = jwt.decode_complete(token, options={"verify_signature": False})
        others = other_jws.extract_compact(token.encode(), registry=Roomy(strict_check_header=False))
    except Exception as error:
        raise Disagrees(f"JWS: {type(error).__module__}: {error}") from error
    if (theirs["header"], theirs["payload"]) != (header, claims) or others.headers() != header:
        raise Disagrees("JWS: read otherwise by another library")
    return header, claims


def signature_verifies(token: str, jwk: Mapping[str, Any], alg: str) -> None:
    """Demand that joserfc and PyJWT verify a token with a public key."""
    public = {name: value for name, value in jwk.items() if name in {"kty", "crv", "x", "y", "n", "e"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joserfc warns of the name EdDSA
        try:
            registry = Roomy(algorithms=[alg], strict_check_header=False)
            other_jws.deserialize_compact(token.encode(), other_jwk.import_key(public), registry=registry)
            jwt.PyJWS().decode(token, jwt.PyJWK({**public, "alg": alg}), algorithms=[alg])
        except Exception as error:
            raise Disagrees(f"signature: {type(error).__module__}: {error}") from error


def same_address(claimed: str, ours: str) -> None:
    """Demand that two http URLs differ in nothing but query, fragment, default port and case (RFC 9449 4.3)."""
    forms = []
    for url in (claimed, ours):
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        if parts.username is not None or parts.password is not None:
            raise Disagrees("htu: user information")
        forms.append((parts.scheme, parts.hostname, port, parts.path or "/"))
    if forms[0] != forms[1]:
        raise Disagrees("htu: another address")


def form_fields(body: bytes) -> tuple[dict[str, str], Sequence[str]]:
    """The parameters of a form and its resources, by the URL standard's own steps."""
    form: dict[str, str] = {}
    resources = []
    names = set()
    for piece in body.split(b"&"):
        if not piece:
            continue
        name, value = (_decoded(part) for part in (piece.partition(b"=")[0], piece.partition(b"=")[2]))
        if name == "resource":
            resources.append(value)
        elif name in names:
            raise Disagrees("form: a parameter twice")
        elif value:
            form[name] = value
        names.add(name)
    return form, resources


def _decoded(part: bytes) -> str:
    if re.search(rb"%(?![0-9A-Fa-f]{2})|[^\x20-\x7e]", part):
        raise Disagrees("form: not percent-encoded")
    try:
        return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Disagrees("form: not UTF-8") from error


@cache
def _known() -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """The main units and sub-units of the development registers, and the codes of every complete system."""
    units: set[str] = set()
    for main in tomllib.loads((CONFIG / "registers" / "organisations.toml").read_text("utf-8"))["main_unit"]:
        units |= {main["number"], *(unit["number"] for unit in main.get("sub_unit", ()))}
    systems = {}
    for path in (CONFIG / "codesystems").glob("*.json"):
        document = json.loads(path.read_text("utf-8"))
        if document.get("complete"):
            systems[document["system"]] = frozenset(entry["code"] for entry in document["codes"])
    return frozenset(units), systems


def attestation(claim: Mapping[str, Any], *, now: float) -> None:
    """Demand of an accepted attestation what the framework demands of every one, by plain code."""
    units, systems = _known()
    who, why, patients = claim["practitioner"], claim["care_relationship"], claim["patients"]
    if not 0 < now - claim["toa"] + 10 <= 3610:
        raise Disagrees("attestation: toa")
    _judge_person(who["identifier"]["id"], help_number=False)
    for place in (who["legal_entity"], who["point_of_care"]):
        _judge_unit(place["id"], units)
    for patient in patients:
        if "identifier" in patient:
            _judge_person(patient["identifier"]["id"], help_number=True)
        if "point_of_care" in patient:
            _judge_unit(patient["point_of_care"]["id"], units)
    if why["purpose_of_use"]["code"] not in {"TREAT", "ETREAT", "COC", "BTG"}:
        raise Disagrees("attestation: purpose")
    if not {"healthcare_service", "purpose_of_use_details"} & set(why):
        raise Disagrees("attestation: neither service nor details")
    for coding in (
        who.get("authorization"),
        *(why.get(name) for name in ("healthcare_service", "purpose_of_use", "purpose_of_use_details")),
    ):
        if coding and coding["system"] in systems and coding["code"] not in systems[coding["system"]]:
            raise Disagrees("attestation: a code that its system does not have")
    decision = why["decision_ref"]
    if (
        not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", decision["id"])
        or type(decision["user_selected"]) is not bool
    ):
        raise Disagrees("attestation: decision")


def _judge_person(number: str, *, help_number: bool) -> None:
    if not re.fullmatch("[0-9]{11}", number) or (number[0] >= "8" and not help_number):
        raise Disagrees("attestation: not a person's number")
    for weights in _PERSON_WEIGHTS:
        if sum(weight * int(digit) for weight, digit in zip(weights, number, strict=False)) % 11:
            raise Disagrees("attestation: check digits of a person")


def _judge_unit(number: str, units: frozenset[str]) -> None:
    if not re.fullmatch("[0-9]{9}", number) or number not in units:
        raise Disagrees("attestation: not a unit of the register")
    if sum(weight * int(digit) for weight, digit in zip(_ENTERPRISE_WEIGHTS, number, strict=True)) % 11:
        raise Disagrees("attestation: check digit of a unit")
