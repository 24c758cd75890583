"""The consumer's half of the rulebook: an attestation is made, and judged, before anything is sent."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tillit.attestation.model import Attestation
from tillit.attestation.rulebook import Circumstances, Party, examine, judge
from tillit.attestation.wire import ATTESTATION_TYPE, to_claim
from tillit.client.errors import NotSent

Attest = Attestation | Mapping[str, Any] | Callable[[], Attestation | Mapping[str, Any]]
"""What the owner gives: a ready attestation, its JSON form, or a function that decides and attests anew.

JSON without `toa` is stamped with the present moment each time it is used; a ready `toa` is never changed.
"""

Details = Sequence[Mapping[str, Any]]
"""Further objects to send beside the attestation, each with its `type`."""


def attest(source: Attest, circumstances: Circumstances) -> Attestation:
    """Make an attestation for this moment and judge it as the consumer. Raises `NotSent`."""
    made = source() if callable(source) else source
    if isinstance(made, Attestation):
        violations = judge(made, Party.CONSUMER, circumstances)
        attestation = None if violations else made
    else:
        value = {"type": ATTESTATION_TYPE, **made}
        carrier_iat = int(circumstances.now)
        result = examine(value, carrier_iat=carrier_iat, party=Party.CONSUMER, circumstances=circumstances)
        attestation, violations = result.attestation, result.violations
    if attestation is None:
        raise NotSent(NotSent.ATTESTATION_REFUSED, violations[0].description, violations)
    return attestation


def to_details(attestation: Attestation | None, others: Details) -> Any:
    """Give the value of `assertion_details` (RFC 9396 §2), or None when there is nothing to say.

    One object goes alone and several as an array, as NHN's client libraries do.
    """
    details = [dict(other) for other in others]
    if attestation is not None:
        details.append({"type": ATTESTATION_TYPE, **to_claim(attestation)})
    return details[0] if len(details) == 1 else details or None
