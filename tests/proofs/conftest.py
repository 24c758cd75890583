"""Two hosts on each store, which all proofs of a file share."""

from collections.abc import Iterator

import pytest

from support.two_hosts import STORES, TwoHosts, two_hosts


@pytest.fixture(scope="module", params=STORES)
def hosts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    """Two hosts with two workers each."""
    with two_hosts(tmp_path_factory.mktemp("hosts"), request.param) as running:
        yield running
