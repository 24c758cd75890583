"""The rulebook as a page for readers: `docs/rules.md` is what `render_rules` returns.

``python -m tillit.attestation.rules_page > docs/rules.md`` brings the page up to date.
"""

import sys
from collections.abc import Iterable
from typing import Final

from tillit.attestation.circumstances import Party
from tillit.attestation.rows import Basis, Check, Kept, Left, Register, Row, Rule
from tillit.attestation.rulebook import RULES

_HEAD: Final = """\
# The rules

Every rule block of the trust framework ("Utprøving v1.1", 30 April 2024), one row each. The framework has 60
blocks under 55 ids: repeated ids carry a letter in order of appearance, and ATT-14, ATT-17 and ATT-30 do not
exist. An error message begins with the id without its letter. This page is generated from the table in
`app/tillit/attestation/rulebook.py`; the functions it names are in `app/tillit/attestation/rules/`.

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
            return f"check: `{_name(rule)}`"
        case Register(name, rule):
            return f"register ({name}): `{_name(rule)}`"
        case Kept(module, test):
            return f"kept: `{module}`, `{test}`"
        case Left(to, why):
            return f"left to {to}: {why}"


def _name(rule: Rule) -> str:
    return f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"


if __name__ == "__main__":
    sys.stdout.write(render_rules())
