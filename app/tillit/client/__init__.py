"""For EHR systems: log in, get tokens for an attested access context, call APIs with them, forget it all.

The room owns discovery, the requests of login and token endpoint with their attestations, proofs of
possession, and the life of sessions and contexts. It leaves to its caller who may see which patient, and to
the API what comes back.
"""

from tillit.client.client import Client
from tillit.client.context import Context
from tillit.client.errors import BadAnswer, ClientError, NotSent, ServerRefused, Unreachable
from tillit.client.key_renewal import KeyRenewal
from tillit.client.key_store import FileKeyStore, KeyStore, KeyStoreError, StoredKeys
from tillit.client.login import Login
from tillit.client.session import Session
from tillit.client.token_request import Token

__all__ = [
    "BadAnswer",
    "Client",
    "ClientError",
    "Context",
    "FileKeyStore",
    "KeyRenewal",
    "KeyStore",
    "KeyStoreError",
    "Login",
    "NotSent",
    "ServerRefused",
    "Session",
    "StoredKeys",
    "Token",
    "Unreachable",
]
