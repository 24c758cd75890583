"""What judging an attestation finds: violations, which refuse it, and remarks for the journal."""

import re
from dataclasses import dataclass
from typing import Final

INVALID: Final = "invalid_authorization_details"
"""The message is wrong (RFC 9396 §5)."""
DENIED: Final = "access_denied"
"""The message is well-formed, but the facts forbid."""
EXPIRED: Final = "attestation_has_expired"
"""The words ATT-58c demands in the answer."""

_MENTIONABLE = re.compile(r"(?!.*[0-9]{7})[A-Za-z0-9._:/+-]{1,64}")
_NUMBERED = re.compile(r"(ATT-)([0-9]+)([a-z]?)")
_INDEX = re.compile(r"\[([0-9]+)\]")


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason to refuse an attestation.

    `rule` is the row of the rulebook (``ATT-58c``) or one of the unnumbered prefixes of the catalogue
    (``ATT-SHAPE``, ``ATT-TYPE``); `code` the OAuth error of section 6.2 of the specification; `path` the
    member, dotted (``practitioner.legal_entity.id``). No member ever holds the value of an `id`.
    """

    rule: str
    path: str
    text: str
    code: str = INVALID
    expected: str | None = None
    found: str | None = None
    clock_difference: float | None = None

    @property
    def prefix(self) -> str:
        """The rule as callers see it, without the letter that tells repeated ids apart."""
        return self.rule.rstrip("abc")

    @property
    def description(self) -> str:
        """The `error_description`: prefix, member path, what is wrong."""
        if self.text.startswith(EXPIRED):
            return f"{self.prefix}: {self.text}"
        return f"{self.prefix}: {self.path}: {self.text}" if self.path else f"{self.prefix}: {self.text}"

    @property
    def pointer(self) -> str:
        """The member as a JSON pointer into the attestation object (RFC 6901)."""
        return "".join(f"/{step}" for step in _INDEX.sub(r".\1", self.path).split(".") if step)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something the journal should know and nobody is refused for."""

    rule: str
    path: str
    text: str


Finding = Violation | Remark


def rule_order(rule: str) -> tuple[int, str]:
    """The place of a rule id: the unnumbered prefixes first (shape comes before value), then by number."""
    numbered = _NUMBERED.fullmatch(rule)
    return (int(numbered[2]), numbered[3]) if numbered else (0, rule)


def by_rule(findings: "list[Violation]") -> tuple[Violation, ...]:
    """The violations in order of their rule number; those of one rule stay in the order they were found."""
    return tuple(sorted(findings, key=lambda finding: rule_order(finding.rule)))


def mention(value: str) -> str | None:
    """A code, system or member name as it may be quoted to the caller, or `None` if it should not be.

    A value in the wrong place may be a person's number, so nothing with seven digits in a row is quoted.
    """
    return value if _MENTIONABLE.fullmatch(value) else None
