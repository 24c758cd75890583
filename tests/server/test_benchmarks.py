"""The benchmarks run: each prints its tables, from a handful of requests. What they say is judged by nobody here."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from benchmarks import __main__ as comparing
from benchmarks import growth, rounds, scaling
from benchmarks.paths import PATHS
from benchmarks.rounds import Bench, opened_bench
from benchmarks.stores import EMBEDDED, REPLICATED, SERVERS, on_servers

from support.pages import ROOT
from support.postgres import Postgres
from support.redis_server import redis_pair, redis_server

FEW = ("--requests", "16", "--rounds", "1")
SMALL = ("--largest", "100", "--steps", "1")


@pytest.fixture(scope="module")
def benches(postgres: Postgres) -> Iterator[dict[str, Bench]]:
    """A service of one host on the embedded store, one of two hosts on servers, and one where Redis has a replica."""
    with ExitStack() as stack:
        servers = on_servers(postgres, stack.enter_context(redis_server()))
        master, replica = stack.enter_context(redis_pair())
        replicated = on_servers(postgres, master, replica=replica)
        yield {
            EMBEDDED: stack.enter_context(opened_bench(EMBEDDED, PATHS["token"])),
            SERVERS: stack.enter_context(opened_bench(servers, PATHS["token"], hosts=2)),
            REPLICATED: stack.enter_context(opened_bench(replicated, PATHS["token"])),
        }


@pytest.fixture
def ready(benches: dict[str, Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """Benchmarks start no services of their own."""

    @contextmanager
    def opened(store: str, *_: Any, **__: Any) -> Iterator[Bench]:
        yield benches[store]

    for module in (comparing, growth, scaling):
        monkeypatch.setattr(module, "opened_bench", opened)
    monkeypatch.setattr(rounds, "FLOOR_SECONDS", 0.01)
    monkeypatch.setattr(scaling, "HOSTS", (1, 2))
    monkeypatch.setattr(scaling, "WORKERS", (1,))


@pytest.mark.parametrize(
    ("run", "given", "said"),
    [
        (comparing.main, ("--workers", "1", *FEW), "servers / sqlite, tokens per second of all CPU"),
        (scaling.main, (*FEW, *SMALL), "### Growth"),
    ],
    ids=["comparing", "scaling"],
)
def test_a_benchmark_runs_to_its_end(
    ready: None,
    capsys: pytest.CaptureFixture[str],
    run: Callable[[tuple[str, ...]], None],
    given: tuple[str, ...],
    said: str,
):
    """Every answer was good, and the last of its figures is printed."""
    run(given)

    assert said in capsys.readouterr().out


def test_an_embedded_store_waits_for_no_disk_in_a_benchmark_alone():
    """The launcher of benchmarks turns it off for the process it runs in; nothing else can."""
    code = (
        "import sqlite3, {}tillit_server.storage.sqlite_file as file, pathlib, tempfile\n"
        "path = pathlib.Path(tempfile.mkdtemp()) / 'a'\n"
        "print(file.open_for_writing(path).execute('PRAGMA synchronous').fetchone()[0])"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code.format(first)], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for first in ("", "benchmarks.undurable, ")
    ]

    assert said == ["2\n", "0\n"]
