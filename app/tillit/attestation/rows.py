"""What a row of the rulebook is made of: four kinds of basis, and who judges by it."""

from collections.abc import Callable
from dataclasses import dataclass

from tillit.attestation.case import Case, Findings
from tillit.attestation.circumstances import Party

Rule = Callable[[Case], Findings]


@dataclass(frozen=True, slots=True)
class Check:
    """Decided from the attestation and its circumstances."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Register:
    """Decided with the help of a register, behind a port."""

    name: str
    rule: Rule


@dataclass(frozen=True, slots=True)
class Kept:
    """A property of the system: the module that keeps it, and the test that proves it."""

    module: str
    test: str
    """File and function, as pytest names them."""


@dataclass(frozen=True, slots=True)
class Left:
    """Left to somebody, because no machine of ours can decide it."""

    to: str
    why: str


Basis = Check | Register | Kept | Left

_BY_LETTER = {"C": Party.CONSUMER, "A": Party.TRUST_ANCHOR, "S": Party.DOCUMENT_SOURCE}


@dataclass(frozen=True, slots=True)
class Row:
    """One rule block of the trust framework. `parties` are those who judge by it with our rulebook."""

    id: str
    attribute: str
    title: str
    parties: frozenset[Party]
    basis: Basis


def row(rule: str, attribute: str, parties: str, title: str, basis: Basis) -> Row:
    """A row; `parties` by their letters: C consumer, A trust anchor, S document source, ``-`` nobody."""
    return Row(rule, attribute, title, frozenset(_BY_LETTER[letter] for letter in parties.strip("-")), basis)
