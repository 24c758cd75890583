"""The clock file: development's clock, moved by tests while processes run."""

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.service import Service
from support.wire import Lane
from tillit.protocol.gate import read_jws
from tillit_server.clock import ClockFileError, FileClock, make_clock

NOON = 1_768_478_400.0
NEARLY = pytest.approx(0, abs=0.5)


def clock_of(path: Path, text: str) -> FileClock:
    """A clock over a file with that text."""
    path.write_text(text, encoding="ascii")
    return FileClock(path)


@pytest.mark.parametrize(
    ("text", "offset"), [("+0", 0), ("+30", 30), ("-3600", -3600), ("+0.5\n", 0.5), (" -1 ", -1)]
)
def test_a_sign_means_an_offset(text: str, offset: float, tmp_path: Path):
    """With a sign, the clock goes, so many seconds before or behind the machine's."""
    clock = clock_of(tmp_path / "clock", text)
    assert clock() - time.time() - offset == NEARLY


@pytest.mark.parametrize("text", ["1768478400", "1768478400.0\n", "0"])
def test_no_sign_means_an_instant(text: str, tmp_path: Path):
    """Without a sign, the clock stands."""
    clock = clock_of(tmp_path / "clock", text)
    assert clock() == clock() == float(text)


@pytest.mark.parametrize(
    "text", ["", "noon", "++1", "nan", "inf", "+inf", "-nan", "1e999", "1 2", "0x10", "\u0664"]
)
def test_what_is_no_time_stops_the_start(text: str, tmp_path: Path):
    """A clock file that holds no number, or none that is a time, is refused, and its content is not told."""
    file = tmp_path / "clock"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ClockFileError) as refused:
        FileClock(file)
    assert str(refused.value) == "clock: +seconds, -seconds or an instant needed"


def test_a_clock_file_that_is_not_there_stops_the_start(tmp_path: Path):
    """A missing file is named."""
    with pytest.raises(ClockFileError, match="the clock file cannot be read"):
        FileClock(tmp_path / "clock")


def test_the_last_good_reading_stays(tmp_path: Path):
    """A file that is caught half-written, or taken away, leaves the last good reading in force."""
    file = tmp_path / "clock"
    clock = clock_of(file, str(NOON))
    for broken in ("", "no", "nan", "-"):
        file.write_text(broken, encoding="ascii")
        assert clock() == NOON
    file.unlink()
    assert clock() == NOON
    file.write_text(str(NOON + 1), encoding="ascii")
    assert clock() == NOON + 1


def test_threads_never_see_half_a_reading(tmp_path: Path):
    """While the file turns from standing to going, every thread reads the one or the other."""
    file, new = tmp_path / "clock", tmp_path / "new"
    clock = clock_of(file, str(NOON))
    read: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            read.append(clock())

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(200):
        new.write_text(("+0", str(NOON))[turn % 2], encoding="ascii")
        new.replace(file)
    over.set()
    for thread in threads:
        thread.join()
    now = time.time()
    assert len(read) > 100
    assert all(instant == NOON or abs(instant - now) < 60 for instant in read)


def test_without_a_file_it_is_the_systems_clock():
    """Production's clock is the machine's own."""
    assert make_clock(None) is time.time


def test_every_worker_sees_a_moved_clock_at_once(tmp_path: Path):
    """As soon as the file is written, every process judges and signs by the new time, forwards and backwards."""
    with Service(tmp_path / "data", frozen=NOON) as service:
        backstage = Backstage(service)
        ehr: SwiftEhr = backstage.client()
        with ExitStack() as opened:
            # So many that one worker never gets them all.
            lanes = [opened.enter_context(Lane(service)) for _ in range(16)]
            for instant in (NOON, NOON + 3600, NOON - 3600):
                service.set_clock(instant)
                for lane in lanes:
                    answer = lane.send(ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof())
                    assert read_jws(answer.json["access_token"]).claims["iat"] == instant
        slots = {entry.slot for entry in backstage.entries("issuer.token.issued")}
        backstage.close()
        assert len(slots) == service.workers
