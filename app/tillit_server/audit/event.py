"""What an event is, and how it is taken apart: members in clear, members to encrypt, persons to find."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import repeat
from typing import Any, ClassVar

from tillit.quick import quick

_CAP = 1024
_PERSONAL_CAP = 32_768
_MAX_ITEMS = 256
_CUT = "…"


def personal() -> Any:
    """A required member that is encrypted."""
    return field(metadata={"personal": True})


def person(*, default: Any = None) -> Any:
    """An optional person number (text or a tuple of texts), encrypted, searchable through a keyed hash."""
    return field(default=default, metadata={"personal": True, "person": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events; itself not recordable. An `alarm` is an event somebody should be woken for."""

    name: ClassVar[str]
    alarm: ClassVar[bool] = False


@quick
@dataclass(frozen=True, slots=True)
class Rendered:
    """An event taken apart. `persons` are the exact values by which staff may search."""

    public: Mapping[str, Any]
    personal: Mapping[str, Any]
    persons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    public: tuple[str, ...]
    personal: tuple[str, ...]
    persons: tuple[str, ...]


_plans: dict[type[Event], _Plan] = {}


def render(event: Event) -> Rendered:
    """Take an event apart; None and empty members are left out, over-long text is cut (threat X6)."""
    kind = type(event)
    plan = _plans.get(kind) or _plans.setdefault(kind, _plan(kind))
    public: dict[str, Any] = {"event": kind.name}
    if kind.alarm:
        public["alarm"] = True
    public.update(_members(event, plan.public, _CAP))
    hidden = _members(event, plan.personal, _PERSONAL_CAP)
    persons: list[str] = []
    for name in plan.persons:
        value = hidden.get(name)
        if isinstance(value, str):
            persons.append(value)
        elif value is not None:
            persons.extend(value)
    return Rendered(public, hidden, tuple(dict.fromkeys(persons)))


def _plan(kind: type[Event]) -> _Plan:
    members = fields(kind)
    return _Plan(
        public=tuple(m.name for m in members if not m.metadata.get("personal")),
        personal=tuple(m.name for m in members if m.metadata.get("personal")),
        persons=tuple(m.name for m in members if m.metadata.get("person")),
    )


def _members(event: Event, names: tuple[str, ...], cap: int) -> dict[str, Any]:
    members: dict[str, Any] = {}
    # Every token is written down, so this is on the path of each: the usual cases first.
    for name, value in zip(names, map(getattr, repeat(event), names), strict=True):
        if value is None:
            continue
        kind = type(value)
        if kind is int or (kind is str and value.isascii() and len(value) <= cap):
            members[name] = value
        elif kind is bool or value not in ((), {}):
            members[name] = _capped(value, cap)
    return members


def _capped(value: Any, cap: int) -> Any:
    if isinstance(value, str):
        if len(value) > cap:
            value = value[:cap] + _CUT
        # A lone surrogate cannot be written as UTF-8; it must not cost us the entry.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, tuple | list):
        return [_capped(v, cap) for v in value[:_MAX_ITEMS]]
    if isinstance(value, Mapping):
        return {_capped(str(k), cap): _capped(v, cap) for k, v in list(value.items())[:_MAX_ITEMS]}
    return value
