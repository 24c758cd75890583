"""The rulebook as a page for readers: `docs/rules.md` is what `render_rules` returns."""

from collections.abc import Iterable
from typing import Final

from tillit.attestation.circumstances import Party
from tillit.attestation.rows import Basis, Check, Kept, Left, Register, Row
from tillit.attestation.rulebook import RULES

_HEAD: Final = """\
# The rules

Every rule block of the trust framework ("Utprøving v1.1", 30 April 2024), one row each. The framework has 60
blocks under 55 ids: repeated ids carry a letter in order of appearance, and ATT-14, ATT-17 and ATT-30 do not
exist. An error message begins with the id without its letter. This page is generated from the table in
`app/tillit/attestation/rulebook.py`.

**Judged by**: C the consumer before sending, A the trust anchor before vouching, S the document source before
relying. **How**: *check*, decided from the attestation and its circumstances · *register*, decided with a
register behind a port · *kept*, a property of the system, with the module that keeps it and the test that
proves it · *left*, to whom and why. For every check and register there are vectors in
`tests/vectors/attestation/`.

| Rule | Attribute | Asks that it | Judged by | How |
|---|---|---|---|---|
"""

_LETTERS: Final = ((Party.CONSUMER, "C"), (Party.TRUST_ANCHOR, "A"), (Party.DOCUMENT_SOURCE, "S"))


def render_rules(rules: Iterable[Row] = RULES) -> str:
    """The table as Markdown, with its introduction."""
    return _HEAD + "".join(f"{_line(row)}\n" for row in rules)


def _line(row: Row) -> str:
    parties = " ".join(letter for party, letter in _LETTERS if party in row.parties) or "–"
    return f"| {row.id} | `{row.attribute}` | {row.title} | {parties} | {_how(row.basis)} |"


def _how(basis: Basis) -> str:
    match basis:
        case Check(rule):
            return f"check: `{rule.__name__}`"
        case Register(name, rule):
            return f"register ({name}): `{rule.__name__}`"
        case Kept(module, test):
            return f"kept: `{module}`, `{test}`"
        case Left(to, why):
            return f"left to {to}: {why}"
