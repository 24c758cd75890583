"""Tillit, the library: what every party to an attested access token shares.

It owns the wire formats of the RFCs (``protocol``), the rules of the Norwegian trust framework
(``attestation``), the document source's half (``verifier``) and the EHR system's half (``client``).
It leaves the issuing of tokens to ``tillit_server``, which it never imports.
"""

__version__ = "0.1.0"
