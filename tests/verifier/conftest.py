"""Fixtures for the document source's side."""

import pytest

from support.stand_in import World


@pytest.fixture
def world() -> World:
    """An issuer, a client with a bound token, and a verifier with its defaults."""
    return World()
