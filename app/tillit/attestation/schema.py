"""The attestation as JSON Schema (2020-12), made from the model, for whoever writes or checks one.

It tells the shape of what a consumer sends, in the one spelling that is recommended. What the values may be,
the rules say.
"""

import dataclasses
import types
import typing
from typing import Any, Final

from tillit.attestation.model import NO_CODE, NO_DECISION, NOT_GIVEN, Attestation
from tillit.attestation.reading import MOST_PATIENTS
from tillit.attestation.wire import ATTESTATION_TYPE

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_STAND_FOR_REQUIRED: Final = (NOT_GIVEN, NO_CODE, NO_DECISION)
# The time of the token that carries the attestation stands in for it.
_MAY_BE_LEFT_OUT: Final = "toa"
_NEVER_SENT: Final = "toa_from_carrier"


def attestation_schema() -> dict[str, Any]:
    """The schema of one element of type ``nhn:tillitsrammeverk:parameters``."""
    schema = _object(Attestation)
    properties = {"type": {"const": ATTESTATION_TYPE}, **schema["properties"]}
    properties["patients"]["maxItems"] = MOST_PATIENTS
    required = ["type", *(name for name in schema["required"] if name != _MAY_BE_LEFT_OUT)]
    return {"$schema": DIALECT, **schema, "properties": properties, "required": required}


def _object(kind: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    members = [member for member in dataclasses.fields(kind) if member.name != _NEVER_SENT]
    required = [member.name for member in members if _is_required(member)]
    return {
        "type": "object",
        "properties": {
            member.name: _value(hints[member.name], filled=member.name in required) for member in members
        },
        "required": required,
        "additionalProperties": False,
    }


def _is_required(member: "dataclasses.Field[Any]") -> bool:
    return member.default is dataclasses.MISSING or member.default in _STAND_FOR_REQUIRED


def _value(hint: Any, *, filled: bool) -> dict[str, Any]:
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        return {"type": "array", "items": _object(typing.get_args(hint)[0])}
    if hint is str:
        return {"type": "string", **({"minLength": 1} if filled else {})}
    if hint is bool:
        return {"type": "boolean"}
    if hint is int:
        return {"type": "integer", "minimum": 0}
    return _object(hint)
