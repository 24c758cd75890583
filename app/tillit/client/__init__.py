"""For EHR systems: get a token for an attested access context, call an API with it, forget both.

The room owns discovery, the token request with its attestation, proofs of possession and the life of a
context. It leaves to its caller who may see which patient, and to the API what comes back.
"""

from tillit.client.client import Client
from tillit.client.context import Context
from tillit.client.errors import BadAnswer, ClientError, NotSent, ServerRefused, Unreachable
from tillit.client.token_request import Token

__all__ = [
    "BadAnswer",
    "Client",
    "ClientError",
    "Context",
    "NotSent",
    "ServerRefused",
    "Token",
    "Unreachable",
]
