"""The life of a signing key, and of every other secret the service keeps.

Owns the key ring (``keyring``: the plan, pure), where private keys are kept (``key_store``: sealed, or in a
PKCS#11 token), the master key and what it seals (``custody``), the ring of
symmetric secrets (``secrets``) and the signer that every token passes. It does not own where rings are
stored (``storage``), what a token contains (``tillit.protocol``) or how a change is written down
(``audit``): changes are handed to a callback.
"""
