"""Measures the token endpoint against the bare cost of its signatures; never asserted by a test."""
