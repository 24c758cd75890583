"""What the RFCs say: every wire format Tillit speaks, both ends of each side by side.

The room owns the strict gate in front of the JOSE library, signatures and key quality, client
assertions, DPoP proofs and nonces, authorization requests (as a form or signed) and their answers, PKCE,
authorization details, access and ID tokens, introspection answers, scopes, challenges and metadata:
``make_...`` for the sender, ``check_...`` for the receiver. It is pure: it does no I/O, reads no clock
and remembers nothing, so single use of a ``jti``, fetching of keys, who may ask for what, and what an
attestation means are left to the rooms that call it.
"""
