"""Code systems as data: loaded once from the package, asked by URN.

A list that calls itself complete is closed: a code outside it refuses. A partial list is open: a code that
looks like one passes, without a text. The files come from ``config/codesystems`` (linked into the package).
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

from tillit.attestation.model import Coding

CODE_FORM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
"""What a code of a partial list must look like."""


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """One list of codes; `texts` maps each known code to its text."""

    urn: str
    name: str
    assigner: str | None
    complete: bool
    texts: Mapping[str, str]
    user_picked: frozenset[str]
    """Codes that a person picks by hand, so that `user_selected` ought to be true (X-12)."""
    codings: Mapping[str, Coding] = field(init=False, repr=False, compare=False)
    """Every known code as a token names it, with text and assigner."""

    def __post_init__(self) -> None:
        """Make the codings, once for all tokens."""
        codings = {code: Coding(code, self.urn, text, self.assigner) for code, text in self.texts.items()}
        object.__setattr__(self, "codings", codings)

    def accepts(self, code: str) -> bool:
        """Whether the code may be used: known, or well-formed in a list that is only partly known."""
        return code in self.texts or (not self.complete and CODE_FORM.fullmatch(code) is not None)


@dataclass(frozen=True, slots=True)
class CodeSystems:
    """Every code system an attestation may name."""

    version: str
    """Changes whenever a list changes: the beginning of the SHA-256 over all of them."""
    systems: Mapping[str, CodeSystem]
    aliases: Mapping[str, str]
    """Other URNs under which a system is known, to the one that is issued."""

    def system(self, urn: str) -> CodeSystem | None:
        """The code system with this URN, or `None`."""
        return self.systems.get(urn)

    def text(self, system: str, code: str) -> str | None:
        """The text of a code, or `None` when system or code is unknown."""
        known = self.systems.get(system)
        return known.texts.get(code) if known else None


@cache
def code_systems() -> CodeSystems:
    """The code systems that are shipped with the package."""
    folder = resources.files(__package__) / "codesystems"
    content = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(".json")}
    digest = hashlib.sha256()
    for name in sorted(content):
        digest.update(name.encode() + b"\0" + content[name] + b"\0")
    systems: dict[str, CodeSystem] = {}
    aliases: dict[str, str] = {}
    for entry in json.loads(content["index.json"])["systems"]:
        listed = json.loads(content[entry["file"]]) if entry["file"] else {}
        systems[entry["system"]] = _code_system(entry, listed)
        aliases.update(dict.fromkeys(listed.get("also_known_as", ()), entry["system"]))
    return CodeSystems(digest.hexdigest()[:12], systems, aliases)


def _code_system(entry: Mapping[str, Any], listed: Mapping[str, Any]) -> CodeSystem:
    codes = listed.get("codes", ())
    return CodeSystem(
        urn=entry["system"],
        name=entry["name"],
        assigner=entry["assigner"],
        complete=entry["complete"],
        texts={code["code"]: code["text"] for code in codes},
        user_picked=frozenset(code["code"] for code in codes if code.get("user_selected_template")),
    )
