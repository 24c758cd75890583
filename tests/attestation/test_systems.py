"""URNs of registers: one spelling for OIDs, and what counts as an absolute URI."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tillit.attestation.systems import canonical_oid, is_absolute_uri


@pytest.mark.parametrize(
    "system",
    [
        "https://fjordvik.example/organisasjon",
        "https://fjordvik.example",
        "http://fjordvik.example:8080/enheter?type=1#x",
        "urn:oid:2.16.578.1.34.10.3",
        "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e",
        "urn:fjordvik:enheter",
        "tag:fjordvik.example,2026:enheter",
    ],
)
def test_absolute_uris(system: str):
    """Systems that are unique the world over (ATT-28)."""
    assert is_absolute_uri(system)


@pytest.mark.parametrize(
    "system",
    [
        "",
        "fjordvik",
        "/enheter",
        "//fjordvik.example/enheter",
        "https:enheter",
        "https:///enheter",
        "urn:",
        "urn:x",
        "urn:oid:x.x.x.x",
        "urn:oid:2.16.",
        "C:\\enheter",
        "https://fjordvik.example/a b",
        "https://fjordvik.example/<script>",
        'https://fjordvik.example/"',
        "https://fjordvik.example/ø",
        "https://fjordvik.example/\n",
        "https://fjordvik.example/" + "a" * 240,
    ],
)
def test_what_is_no_absolute_uri(system: str):
    """Relative, unfinished, too long, or with characters that no URI has."""
    assert not is_absolute_uri(system)


@given(arcs=st.lists(st.integers(0, 10**12), min_size=1, max_size=12), root=st.integers(0, 2))
def test_every_spelling_of_an_oid_becomes_the_same(arcs: list[int], root: int):
    """Bare, with oid:, with urn:oid:, in any case: one URN (N-4)."""
    digits = ".".join(str(arc) for arc in [root, *arcs])
    spellings = {digits, f"oid:{digits}", f"OID:{digits}", f"urn:oid:{digits}", f"URN:oid:{digits}"}
    assert {canonical_oid(spelling) for spelling in spellings} == {f"urn:oid:{digits}"}


@given(text=st.text())
def test_what_is_no_oid_is_left_alone(text: str):
    """Anything else stays byte for byte, for the rule of its attribute to refuse."""
    assert canonical_oid(text) in (text, f"urn:oid:{text}") or text.lower().startswith(("oid:", "urn:oid:"))
