"""The closed list, and what becomes of an event's members."""

import dataclasses
import inspect
import re
from typing import Any, ClassVar

import pytest

from tillit_server.audit import client_events, events, house_events, login_events
from tillit_server.audit.event import Event, person, render
from tillit_server.audit.events import EVENTS, RefusalsSummarised, TokenIssued, TokenRefused


def test_every_event_is_in_the_list() -> None:
    """Whoever defines an event and forgets the list hears of it here."""
    defined = {
        kind
        for module in (events, client_events, house_events, login_events)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Event) and "name" in vars(kind)
    }

    assert defined == set(EVENTS.values())


def test_names_say_source_subject_and_action() -> None:
    """Three words, each event its own."""
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+\.[a-z_]+", name) for name in EVENTS)
    assert all(kind.name == name for name, kind in EVENTS.items())


@pytest.mark.parametrize("kind", EVENTS.values(), ids=list(EVENTS))
def test_every_event_says_what_it_is(kind: type[Event]) -> None:
    """A docstring of its own, frozen, and no member with a name that the entry uses itself."""
    assert kind.__doc__
    assert not kind.__doc__.startswith(kind.__name__)
    members = {member.name for member in dataclasses.fields(kind)}
    assert not members & {"at", "event", "alarm", "sealed_with"}
    assert kind.__dataclass_params__.frozen


def test_members_that_name_persons_are_personal() -> None:
    """Whatever holds a person number or a whole assertion is encrypted, in every event."""
    for kind in EVENTS.values():
        for member in dataclasses.fields(kind):
            if member.name in {"practitioner", "patients", "assertion", "sought"}:
                assert member.metadata["personal"], f"{kind.name}.{member.name}"


def test_an_event_is_taken_apart(issued: TokenIssued) -> None:
    """Public members in clear, personal ones apart, persons by their exact value, and no empty members."""
    rendered = render(issued)

    assert rendered.public["event"] == "issuer.token.issued"
    assert rendered.public["scope"] == ["nhn:phr/mhd/read-document"]
    assert "decision_ref" not in rendered.public
    assert set(rendered.personal) == {"practitioner", "patients", "assertion"}
    assert rendered.persons == ("05117512345", "13116900216", "14016900217")


@pytest.mark.parametrize("text", ["\r\n", "\x1b[2J", "\u2028", "\0", "\ud800", "x" * 1_000_000, "\u202e"])
def test_x6_odd_text_becomes_one_line(audit: Any, text: str) -> None:
    """Whatever a client calls itself, its entry is one short line of JSON without control characters."""
    entry = audit.entry(TokenRefused(step="s", code="c", error_id="e", client_id=f"a{text}b", found=text))

    assert len(entry.public) < 5_000
    assert not set(entry.public) & set(range(32))


def test_x6_long_lists_are_cut() -> None:
    """A mapping of ten thousand kinds does not become an entry of that size."""
    counts = {f"step{number} code": number for number in range(10_000)}
    rendered = render(RefusalsSummarised(first_at=0, last_at=1, total=1, counts=counts))

    assert len(rendered.public["counts"]) == 256


def test_what_is_not_in_the_list_cannot_be_recorded(audit: Any) -> None:
    """Not the base, not an event made up at the call site, not even under a name that is taken."""

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class MadeUp(Event):
        name: ClassVar[str] = "issuer.token.issued"
        person_number: str | None = person()

    for thing in (MadeUp(person_number="1"), Event(), {"event": "issuer.token.issued"}, None):
        with pytest.raises(TypeError):
            audit.entry(thing)
