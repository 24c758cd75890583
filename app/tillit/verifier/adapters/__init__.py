"""Edges to web frameworks: translate a request, call `Verifier.verify` once, translate the answer back."""
