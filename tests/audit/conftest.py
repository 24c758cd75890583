"""A store with an audit, and clocks that the tests move."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.stores import Hands, open_audit, open_store
from tillit_server.audit.events import TokenIssued
from tillit_server.audit.log import AuditLog
from tillit_server.storage.sqlite import SqliteStore


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def store(tmp_path: Path, clock: Hands) -> Iterator[SqliteStore]:
    store = open_store(tmp_path / "store.sqlite", clock=clock)
    yield store
    store.close()


@pytest.fixture
def audit(store: SqliteStore, clock: Hands) -> AuditLog:
    return open_audit(store, clock)


@pytest.fixture
def issued() -> TokenIssued:
    """A token for a synthetic practitioner and two synthetic patients."""
    return TokenIssued(
        jti="t1",
        client_id="ehr",
        grant="client_credentials",
        legal_entity="999999999",
        scope=("nhn:phr/mhd/read-document",),
        audience="nhn:phr",
        issued_at=1,
        expires_at=2,
        kid="k",
        jkt="thumb",
        assertion_jti="a1",
        rule_pack="1",
        practitioner="05117512345",
        patients=("13116900216", "14016900217"),
        assertion="eyJhbGciOiJFUzI1NiJ9.canary-assertion.c2ln",
    )
