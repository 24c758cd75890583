"""What authorization details of each type look like (draft-zehavi-oauth-rar-metadata): a schema for each."""

from collections.abc import Mapping
from typing import Any

from tillit.attestation.rulebook import RULE_PACK_VERSION
from tillit.attestation.schema import DIALECT, attestation_schema
from tillit.protocol.authorization_details import ATTESTATION_TYPE, JOURNAL_TYPE, ORGANISATION_TYPE
from tillit_server.issuer.details import MAX_JOURNAL_ID
from tillit_server.issuer.organisations import MULTI_SYSTEM, SINGLE_SYSTEM

_TEXT = {"type": "string", "minLength": 1}


def details_metadata() -> Mapping[str, Any]:
    """The document: by type its version, what it is for, and its JSON Schema (2020-12)."""
    return {
        ATTESTATION_TYPE: {
            "version": RULE_PACK_VERSION,
            "description": "The attested access context of the Norwegian trust framework",
            "schema": attestation_schema(),
        },
        ORGANISATION_TYPE: {
            "version": "1",
            "description": "The organisation numbers that a client asks with",
            "schema": {
                "$schema": DIALECT,
                **_typed(
                    ORGANISATION_TYPE, practitioner_role=_holding(organization=_holding(identifier=_NUMBER))
                ),
            },
        },
        JOURNAL_TYPE: {
            "version": "1",
            "description": "The journal that a client of the prescription module asks with",
            "schema": {
                "$schema": DIALECT,
                **_typed(JOURNAL_TYPE, value=_holding(journal_id={**_TEXT, "maxLength": MAX_JOURNAL_ID})),
            },
        },
    }


def _holding(**members: Any) -> dict[str, Any]:
    """An object with these members; others are read over."""
    return {"type": "object", "properties": members, "required": list(members)}


def _typed(name: str, **members: Any) -> dict[str, Any]:
    return _holding(type={"const": name}, **members)


_NUMBER = _holding(
    system={"enum": [SINGLE_SYSTEM, MULTI_SYSTEM]},
    type={"const": "ENH"},
    value={"type": "string", "pattern": "^([0-9]{9}|NO:ORGNR:[0-9]{9}(:([0-9]{9})?)?)$"},
)
