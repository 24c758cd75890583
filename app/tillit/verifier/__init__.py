"""For document sources: who is behind a request, and why may they ask.

The room owns the check of access token, proof and attestation at the API, the cache of the issuer's keys, the
memory of used proofs, and thin adapters for web frameworks. It leaves to the source what only the source can
know: blocks, which documents may be shown, and its log. Importing it loads no web framework, no database and
no HTTP library.
"""

from tillit.verifier.access import Access, Organisation, Person
from tillit.verifier.refusals import Refused
from tillit.verifier.replay import Replay, ReplayMemory, ReplayUnavailable
from tillit.verifier.verifier import Verifier

__all__ = [
    "Access",
    "Organisation",
    "Person",
    "Refused",
    "Replay",
    "ReplayMemory",
    "ReplayUnavailable",
    "Verifier",
]
