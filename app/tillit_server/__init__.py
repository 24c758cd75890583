"""Tillit, the service: an OAuth 2.0 authorization server for attested access context.

It owns what only the issuer decides, remembers and writes down; the protocol and the rules it applies
are the library's (``tillit``).
"""
