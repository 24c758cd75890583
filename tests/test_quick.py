"""Frozen dataclasses that are cheap to make."""

from dataclasses import FrozenInstanceError, dataclass, field, replace
from functools import partial

import pytest

from tillit.quick import quick


@dataclass(frozen=True, slots=True)
class Plain:
    """As `dataclass` makes it."""

    first: str
    second: int = 2
    third: list[int] = field(default_factory=list)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    """The same members."""

    first: str
    second: int = 2
    third: list[int] = field(default_factory=list)


class Base:
    """What a class comes of has no members."""

    __slots__ = ()


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Named(Base):
    """Members that must be named, in a class with a base."""

    first: str = "one"
    second: int


@pytest.mark.parametrize("given", [("a",), ("a", 1), ("a", 1, [3])])
def test_members_are_as_dataclass_would_set_them(given: tuple[object, ...]) -> None:
    """Arguments and defaults reach the same members, and no two objects share a made default."""
    plain, quickly = Plain(*given), Quick(*given)
    assert (plain.first, plain.second, plain.third) == (quickly.first, quickly.second, quickly.third)
    assert Quick("a").third is not Quick("a").third
    assert quickly == Quick(*given)
    assert type(quickly) is Quick


def test_it_stays_frozen_and_replaceable() -> None:
    """A member cannot be set or deleted afterwards, there is no room for others, and `replace` makes another object."""
    made = Quick("a")
    for name in ("first", "second", "third"):
        with pytest.raises(FrozenInstanceError):
            setattr(made, name, "b")
        with pytest.raises(FrozenInstanceError):
            delattr(made, name)
    assert not hasattr(made, "__dict__")
    assert replace(made, first="b") == Quick("b")
    assert made.first == "a"


def test_wrong_arguments_are_refused_as_ever() -> None:
    """Missing, unknown and unnamed arguments raise `TypeError`."""
    for wrong in (Quick, partial(Quick, "a", fourth=4), partial(Named, "one", 2)):
        with pytest.raises(TypeError):
            wrong()
    named = Named(second=1)
    assert named.first == "one"
    assert isinstance(named, Base)
    for name in ("first", "second"):
        with pytest.raises(FrozenInstanceError):
            setattr(named, name, 2)
