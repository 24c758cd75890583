"""What attacks share: the installation behind the shared service, and a look at its log when all is over."""

import re
from collections.abc import Iterator

import pytest

from support.backstage import Backstage, SwiftEhr, Timeline
from support.service import Service

CANARIES = re.compile(
    r"(?-i:eyJ[A-Za-z0-9_-]{16})|(?<![0-9a-f.])[0-9]{11}(?![0-9a-f])|SKOGSTJERNE|canary", re.IGNORECASE
)
"""A token, a person's number, a person's name, and whatever a test has called a canary.

A random id may hold three letters of a token's beginning, and the fraction of a second eleven digits.
"""


def assert_clean(service: Service) -> None:
    """Nothing personal and no token stands in the log of a service (threat U5)."""
    found = sorted({line[:300] for line in service.log().splitlines() if CANARIES.search(line)})
    assert found == []


@pytest.fixture(scope="session", autouse=True)
def clean_log(service: Service) -> Iterator[None]:
    """Whatever the attacks of this session have sent, none of it is in the shared service's log."""
    yield
    assert_clean(service)


@pytest.fixture(scope="session")
def attacker(backstage: Backstage) -> SwiftEhr:
    """A registered client of the shared service, for requests with one thing broken."""
    return backstage.client()


@pytest.fixture(scope="session")
def timeline(timeline: Timeline) -> Iterator[Timeline]:
    """The service whose clock tests move, whose log is as clean when all is over."""
    yield timeline
    assert_clean(timeline.service)
