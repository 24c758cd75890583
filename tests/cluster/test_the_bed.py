"""The bed itself: what it is made of is really there, and really apart."""

import socket
import time

import pytest

from support.bed import SERVICE_PORT, Bed, BedEhr
from support.namespaces import Host
from support.processes import processes_of


def reached(host: Host, name: str, port: int) -> float | None:
    """Seconds until a connection from a host to another stands; None when it does not within one."""
    begun = time.monotonic()
    with host.inside():
        try:
            socket.create_connection((name, port), 1).close()
        except OSError:
            return None
    return time.monotonic() - begun


def test_every_host_issues_tokens(bed: Bed, ehrs: list[BedEhr]):
    """Each service host, with keys, data and ports of its own, gives a token, and none is on the machine's network."""
    for ehr, service in zip(ehrs, bed.services, strict=True):
        assert ehr.ask().status == 200
        assert (service.home / "keys").is_dir()
        assert len(processes_of(service)) == service.workers + 1
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", SERVICE_PORT), 1)


def test_a_cable_can_be_cut_slowed_and_mended(bed: Bed):
    """A host that is cut off is reached by nobody, a slow one late, and both as ever afterwards."""
    host, other = bed.hosts["proxy"], bed.hosts["redis-2"]
    assert reached(host, "redis-2", 6379)
    for silently in (True, False):
        host.cut(silently=silently)
        assert reached(host, "redis-2", 6379) is None
        host.mend()
    host.ignore(other)
    assert reached(host, "redis-2", 6379) is None
    host.heed(other)
    host.slow(0.1)
    seconds = reached(host, "redis-2", 6379)
    assert seconds is None or seconds > 0.2
    host.mend()
    assert reached(host, "redis-2", 6379)
