"""Fixtures that every room may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backstage import Backstage, Timeline
from support.browser import NO_BROWSER
from support.ehr import Ehr
from support.foreign_programs import NOT_HERE
from support.login import Reception
from support.postgres import QUICK, Postgres
from support.programs import NOT_GOT
from support.service import Service
from support.softhsm import NO_SOFTHSM

LONGEST = (
    "docs/test_walkthrough.py",
    "proofs/test_on_every_store.py",
    "attacks/test_k1_rotations_nobody_notices.py",
    "journeys/test_acceptance_foreign_programs.py",
    "server/test_start_gate.py",
    "fuzz/test_fuzz_short.py",
    "browser/test_p11_text_is_text.py",
    "browser/test_pages_for_people.py",
)
"""Files that take longest, by CPU and waiting; `make test` gives a file to each process in this order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest, so that no process is left alone with one at the end."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with two workers on the real clock, shared by every test of a process that does not change it.

    It is the installed command itself, as an operator starts it.
    """
    with Service(tmp_path_factory.mktemp("service"), installed=True) as running:
        yield running


@pytest.fixture(scope="session")
def ehr(service: Service) -> Ehr:
    """A registered client of the shared service that attests without login."""
    return Ehr(service, "ehr-nordfjell", service.add_client("ehr-nordfjell"))


@pytest.fixture(scope="session")
def backstage(service: Service) -> Iterator[Backstage]:
    """The installation of the shared service, to register clients of every kind."""
    opened = Backstage(service)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def reception(backstage: Backstage) -> Reception:
    """The authorization endpoint of the shared service."""
    return Reception(backstage)


@pytest.fixture(scope="session")
def timeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Timeline]:
    """A service with a clock that only tests move, shared by all that need exact instants."""
    with Service(tmp_path_factory.mktemp("timeline"), frozen=1768465800.0) as running:
        opened = Backstage(running)
        yield Timeline(running, opened)
        opened.close()


@pytest.fixture
def frozen_service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own with two workers, its clock frozen at the instant of the examples."""
    with Service(tmp_path / "service", frozen=1768465800.0) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server that nobody stops."""
    with Postgres(*QUICK) as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were not run for want of a browser or another language, and how to get them."""
    skipped = terminalreporter.stats.get("skipped", [])
    missed = sum(NO_BROWSER in str(report.longrepr) for report in skipped)
    if missed:
        terminalreporter.section("browser", sep="!", red=True, bold=True)
        terminalreporter.write_line(
            f"{missed} browser tests were NOT RUN: there is no Chromium here. "
            "`make browser` gets Debian's; then run the tests again."
        )
    unsigned = sum(NO_SOFTHSM in str(report.longrepr) for report in skipped)
    if unsigned:
        terminalreporter.section("hsm", sep="!", red=True, bold=True)
        terminalreporter.write_line(
            f"{unsigned} tests with a security module were NOT RUN: there is no SoftHSM2 here. "
            "`make hsm` gets Debian's; then run the tests again, or `make test-hsm`."
        )
    ungot = sorted({str(report.longrepr[2]) for report in skipped if NOT_GOT in str(report.longrepr)})
    if ungot:
        terminalreporter.section("cluster", sep="!", red=True, bold=True)
        terminalreporter.write_line("Some tests with many hosts were NOT RUN. " + "; ".join(ungot))
    foreign = sum(NOT_HERE in str(report.longrepr) for report in skipped)
    if foreign:
        terminalreporter.section("foreign clients", sep="!", red=True, bold=True)
        terminalreporter.write_line(
            f"{foreign} tests with clients in other languages were NOT RUN. "
            "They need Node.js 20 and npm, a JDK 17 and Maven, and Go 1.24; then run the tests again."
        )
