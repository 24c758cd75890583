"""Frozen dataclasses that are cheap to make: a token request makes some sixty of them.

The `__init__` that `dataclass` writes for a frozen class goes through `object.__setattr__`, one call for each
member, and that was a third of the work of reading an attestation.
"""

from dataclasses import MISSING, Field, fields
from typing import Any, TypeVar, cast

T = TypeVar("T")


def quick(kind: type[T]) -> type[T]:
    """Give a frozen dataclass with slots an `__init__` of the same signature that sets its members directly.

    While it runs, and nobody else can see the object yet, the object is of a class with the same slots and no
    guard against setting them; from then on it is as frozen as before. For classes without a `__post_init__`
    or members that are not arguments.
    """
    members = fields(cast("Any", kind))  # a dataclass, which `type[T]` cannot say
    slots = {"__slots__": cast("Any", kind).__slots__, "__setattr__": object.__setattr__}
    known: dict[str, Any] = {
        "_become": vars(object)["__class__"].__set__,
        "_unguarded": type(kind.__name__, kind.__bases__, slots),
        "_kind": kind,
        "_missing": MISSING,
    }
    arguments = ["self"]
    lines = ["_become(self, _unguarded)"]
    for member in members:
        name = member.name
        if member.kw_only and "*" not in arguments:
            arguments.append("*")
        arguments.append(f"{name}=_default_{name}" if _has_default(member) else name)
        known[f"_default_{name}"] = member.default
        value = name
        if member.default_factory is not MISSING:
            known[f"_factory_{name}"] = member.default_factory
            value = f"_factory_{name}() if {name} is _missing else {name}"
        lines.append(f"self.{name} = {value}")
    lines.append("self.__class__ = _kind")
    source = f"def __init__({', '.join(arguments)}):\n  " + "\n  ".join(lines)
    exec(source, known)  # noqa: S102 - as `dataclass` itself does; nothing in it comes from outside
    type.__setattr__(kind, "__init__", known["__init__"])
    return kind


def _has_default(member: "Field[Any]") -> bool:
    return member.default is not MISSING or member.default_factory is not MISSING
