"""For which organisation a client asks: ``helseid_authorization``, single- and multi-tenant (HID-1001 …).

A single-tenant client's parent number is fixed by its registration and it may name one of its own
children; a multi-tenant client names the parent that has delegated to its supplier, and perhaps a child.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tillit.protocol.errors import OAuthError
from tillit.quick import quick
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.clients.rules import ORGANISATION_NUMBER

SINGLE_SYSTEM = "urn:oid:2.16.578.1.12.4.1.4.101"
MULTI_SYSTEM = "urn:oid:1.0.6523"
# A published sample writes this one; the tolerance belongs to the lenient profiles.
LENIENT_SINGLE_SYSTEM = "urn:oid:2.16.578.1.12.4.1.2.101"
_POINTER = "helseid_authorization.practitioner_role.organization.identifier"
_MULTI_VALUE = re.compile(r"NO:ORGNR:([^:]*)(?::([^:]*))?")


@quick
@dataclass(frozen=True, slots=True)
class Organisations:
    """The organisation numbers of one request: parent, child and supplier.

    ``tolerances``: what the client's profile had to forgive, for the audit.
    """

    parent: str | None
    child: str | None
    supplier: str | None
    tolerances: tuple[str, ...] = ()


def read_organisations(client: Client, detail: Mapping[str, Any] | None) -> Organisations:
    """The numbers that ``client`` asks with, checked against what it may pass.

    ``detail`` is the ``helseid_authorization`` object, or None when the client sent none.
    Raises ``OAuthError`` with a HID-… rule.
    """
    fixed_parent = client.legal_entities[0] if client.tenancy == "single" else None
    if detail is None:
        return Organisations(fixed_parent, None, client.supplier)
    system, value = _identifier(detail)
    if client.tenancy == "single":
        allowed = {SINGLE_SYSTEM} | (
            {LENIENT_SINGLE_SYSTEM} if client.profile.lenient_organisation_system else set()
        )
        if system == MULTI_SYSTEM:
            raise _refused("HID-1005", "value", "this client may not pass a parent number")
        if system not in allowed:
            raise _malformed("HID-1007", "system", f"{SINGLE_SYSTEM} needed")
        forgiven = ("lenient_organisation_system",) if system == LENIENT_SINGLE_SYSTEM else ()
        return Organisations(fixed_parent, _child(client, value), client.supplier, forgiven)
    if system != MULTI_SYSTEM:
        raise _malformed("HID-1007", "system", f"{MULTI_SYSTEM} needed")
    match = _MULTI_VALUE.fullmatch(value)
    if match is None:
        raise _malformed("HID-1007", "value", "NO:ORGNR:parent or NO:ORGNR:parent:child needed")
    parent = _number(match[1])
    child = _number(match[2]) if match[2] else None
    if parent not in client.legal_entities:
        raise _refused("HID-1001", "value", "the parent has not delegated to this client")
    if child is not None and client.children and child not in client.children:
        raise _refused("HID-1003", "value", "the child is not on the list of its parent")
    return Organisations(parent, child, client.supplier)


def named_parent(detail: Mapping[str, Any] | None) -> str | None:
    """The parent that a multi-tenant client's ``detail`` names, unjudged; None where it cannot be read."""
    try:
        match = None if detail is None else _MULTI_VALUE.fullmatch(_identifier(detail)[1])
    except OAuthError:
        return None
    return match[1] if match else None


def _identifier(detail: Mapping[str, Any]) -> tuple[str, str]:
    node: Any = detail
    for member in ("practitioner_role", "organization", "identifier"):
        node = node.get(member) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        raise _malformed("HID-1007", "", "the structure is incomplete")
    system, kind, value = node.get("system"), node.get("type"), node.get("value")
    if not isinstance(system, str) or not isinstance(value, str) or kind != "ENH":
        raise _malformed("HID-1007", "", "system, type ENH and value needed, all strings")
    return system, value


def _number(value: str) -> str:
    if not ORGANISATION_NUMBER.fullmatch(value):
        raise _malformed("HID-1004", "value", "an organisation number has nine digits")
    return value


def _child(client: Client, value: str) -> str:
    child = _number(value)
    if not client.children:
        raise _refused("HID-1006", "value", "this client may not pass a child number")
    if child not in client.children:
        raise _refused("HID-1002", "value", "the child is not on the list of this client")
    return child


def _refused(rule: str, member: str, text: str) -> OAuthError:
    return _error("access_denied", rule, member, text)


def _malformed(rule: str, member: str, text: str) -> OAuthError:
    return _error("invalid_request", rule, member, text)


def _error(code: str, rule: str, member: str, text: str) -> OAuthError:
    pointer = f"{_POINTER}.{member}" if member else _POINTER
    return OAuthError(code, f"{rule}: {pointer}: {text}", rule=rule, pointer=pointer)
