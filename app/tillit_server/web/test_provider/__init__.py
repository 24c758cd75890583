"""The test provider of development mode: a small OpenID provider where anybody may be anybody made up.

It is a real one (PAR, PKCE, private_key_jwt, signed ID tokens), so that development and tests walk the same
way as production. It lives under the issuer's path, in development mode on loopback only, keeps its state in
the shared store, and says on every page that it is no real login.
"""
