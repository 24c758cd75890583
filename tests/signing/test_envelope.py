"""The document in which a ring is stored."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tillit_server.signing.custody import Custody, CustodyError, open_custody
from tillit_server.signing.envelope import Envelope

BODY = [{"kid": "a", "active_from": 1}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def test_what_is_wrapped_comes_out(custody: Custody) -> None:
    """Epoch and body survive."""
    opened = Envelope("signing", custody).unwrap(Envelope("signing", custody).wrap(BODY, epoch=3, now=5.5))
    assert (opened.epoch, opened.body) == (3, BODY)


@pytest.mark.parametrize("member", ["v", "master", "epoch", "written_at", "body", "mac"])
def test_every_member_is_covered(member: str, custody: Custody) -> None:
    """Nothing in the document can be changed or left out unseen."""
    envelope = Envelope("signing", custody)
    document = envelope.wrap(BODY, epoch=3, now=5)
    for value in (None, 4, "x", [], document["body"][:0]):
        with pytest.raises(CustodyError):
            envelope.unwrap({**document, member: value})
    del document[member]
    with pytest.raises(CustodyError):
        envelope.unwrap(document)


def test_one_ring_does_not_pass_for_the_other(custody: Custody) -> None:
    """A document moved to the other ring's record is refused."""
    with pytest.raises(CustodyError, match="damaged"):
        Envelope("secrets", custody).unwrap(Envelope("signing", custody).wrap(BODY, epoch=1, now=5))


def test_another_installation_is_named(custody: Custody, tmp_path: Path) -> None:
    """The line tells the two master keys apart, so that the right one can be brought."""
    other = open_custody(tmp_path / "other", make=True)
    with pytest.raises(CustodyError, match=custody.master_id):
        Envelope("signing", other).unwrap(Envelope("signing", custody).wrap(BODY, epoch=1, now=5))


@given(value=JSON)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_document_crashes_it(value, custody: Custody) -> None:
    """Whatever lies in the store, the answer is one readable refusal."""
    with pytest.raises(CustodyError) as refused:
        Envelope("signing", custody).unwrap(value)
    assert "\n" not in refused.value.line
