"""Which URN names which register or code system, and who owns it (data model §2.2 of the trust framework)."""

import re
from typing import Final

F_NUMBER: Final = "urn:oid:2.16.578.1.12.4.1.4.1"
D_NUMBER: Final = "urn:oid:2.16.578.1.12.4.1.4.2"
H_NUMBER: Final = "urn:oid:2.16.578.1.12.4.1.4.3"
HPR_NUMBER: Final = "urn:oid:2.16.578.1.12.4.1.4.4"
DUF_NUMBER: Final = "urn:oid:2.16.578.1.12.4.1.4.5"
ORGANISATION_NUMBER: Final = "urn:oid:2.16.578.1.12.4.1.4.101"
RESH_ID: Final = "urn:oid:2.16.578.1.12.4.1.4.102"

AUTHORIZATION: Final = "urn:oid:2.16.578.1.12.4.1.1.9060"
PURPOSE_OF_USE: Final = "urn:oid:2.16.840.1.113883.1.11.20448"
CARE_RELATION: Final = "urn:AuditEventHL7Norway/CodeSystem/carerelation"
IPLOS: Final = "urn:oid:2.16.578.1.12.4.1.1.9151"

HEALTHCARE_SERVICES: Final = frozenset(
    f"urn:oid:2.16.578.1.12.4.1.1.{node}"
    for node in ("8655", "8627", "8451", "8668", "8663", "8662", "8664", "8666", "7750", "8254")
)
"""The ten code systems of ATT-37."""

PERSON_NUMBERS: Final = frozenset({F_NUMBER, D_NUMBER})
NATIONAL_IDENTIFIERS: Final = frozenset(
    {F_NUMBER, D_NUMBER, H_NUMBER, HPR_NUMBER, DUF_NUMBER, ORGANISATION_NUMBER, RESH_ID}
)

AUTHORITIES: Final = {
    F_NUMBER: "https://www.skatteetaten.no/",
    D_NUMBER: "https://www.skatteetaten.no/",
    H_NUMBER: "https://www.nhn.no/",
    HPR_NUMBER: "https://www.helsedirektoratet.no/",
    ORGANISATION_NUMBER: "https://www.brreg.no/",
    RESH_ID: "https://www.nhn.no/",
}
"""The `authority` that an issued token names for each identifier system."""

LONGEST_SYSTEM: Final = 256

_OID = re.compile(r"(?:(?:urn:)?oid:)?([012](?:\.(?:0|[1-9][0-9]{0,38})){1,64})", re.IGNORECASE)
_ABSOLUTE = re.compile(
    r"(?:https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:[/?#][!#-;=?-Z_a-z~%\[\]]*)?"
    r"|urn:[A-Za-z0-9][A-Za-z0-9-]{0,31}:[!#-;=?-Z_a-z~%\[\]]+"
    r"|(?!https?:|urn:)[A-Za-z][A-Za-z0-9+.-]+:[!#-;=?-Z_a-z~%\[\]]+)",
    re.IGNORECASE,
)


def canonical_oid(system: str) -> str:
    """An OID in any of its spellings as ``urn:oid:`` and dotted digits; anything else unchanged (N-4)."""
    match = _OID.fullmatch(system) if len(system) <= LONGEST_SYSTEM else None
    return f"urn:oid:{match[1]}" if match else system


def is_absolute_uri(system: str) -> bool:
    """Whether a system is an absolute URI of at most 256 characters (RFC 3986 §4.3; RFC 8141 for URNs)."""
    if len(system) > LONGEST_SYSTEM:
        return False
    form = _OID if system[:8].lower() == "urn:oid:" else _ABSOLUTE
    return form.fullmatch(system) is not None
