"""``tillit doctor``: is everything in order on this host; a line each, with what to do where it is not."""

import ctypes
import resource
import shutil
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tillit_server.cli.doctor_servers import examine_servers
from tillit_server.cli.installation import installation_options, settings_of
from tillit_server.cli.keys_care import examine_keys, show_findings
from tillit_server.cli.output import output_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tillit_server.config import Settings
    from tillit_server.signing.doctor import Finding, Verdict

MIB: Final = 1_048_576
LITTLE_SPACE, HARDLY_ANY = 1024 * MIB, 128 * MIB
OF_A_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "fuse.sshfs"}
)
_TIME_ERROR = 5  # <sys/timex.h>: nobody keeps this clock
_TIMEX_BYTES = 512
_SKEW = 60.0


@click.command()
@installation_options
@output_option
def doctor(file: Path | None, data: Path | None, output: str) -> None:
    """Look at clock, store, servers, keys, files, limits and addresses of this host. Changes nothing.

    One line each; exit code 1 if something is bad, 2 if the settings cannot be read.
    """
    settings = settings_of(file, data)
    show_findings([*_examine(settings), *examine_keys(settings)], output)


def _examine(settings: "Settings") -> "Iterator[Finding]":
    yield from _clock()
    yield from _store(settings)
    yield from examine_servers(settings)
    yield from _files(settings)
    yield from _open_files()
    yield from _addresses(settings)


def _clock() -> "Iterator[Finding]":
    from tillit_server.signing.doctor import Finding

    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        state = -1
    if started < 0:
        yield Finding("BAD", "clock", "stands before this machine was made: set it, and let NTP keep it")
    elif state == _TIME_ERROR:
        yield Finding("look", "clock", "the kernel knows nobody who keeps it: run chrony or timesyncd")
    elif state < 0:
        yield Finding("look", "clock", "nobody can tell whether it is kept: see that NTP runs on this host")
    else:
        yield Finding("ok", "clock", "kept by somebody, as the kernel says")


def _store(settings: "Settings") -> "Iterator[Finding]":
    from tillit_server.signing.doctor import Finding

    place = _existing(settings.data)
    usage = shutil.disk_usage(place)
    free = f"{usage.free // MIB:,} MiB free where {settings.data} is"
    if usage.free < HARDLY_ANY:
        yield Finding("BAD", "disk", f"{free}: make room, or tokens will be refused")
    elif usage.free < LITTLE_SPACE:
        yield Finding("look", "disk", f"{free}: make room")
    else:
        yield Finding("ok", "disk", free)
    kind = _file_system(place, Path("/proc/self/mounts"))
    if settings.storage_url:
        yield Finding("ok", "store", "records and audit are on a database server")
    elif kind in OF_A_NETWORK:
        yield Finding("BAD", "store", f"{settings.data} is on {kind}: a write-ahead log needs a local disk")
    elif kind in {"tmpfs", "ramfs"} and not settings.dev:
        yield Finding("BAD", "store", f"{settings.data} is in memory ({kind}): a restart forgets everything")
    else:
        yield Finding("ok", "store", f"one file for this host, on {kind or 'a disk'}")


def _files(settings: "Settings") -> "Iterator[Finding]":
    from tillit_server.signing.doctor import Finding

    secret = [settings.keys_directory, settings.keys_directory / "master.key", settings.data]
    if settings.passphrase_of_master_key is not None:
        secret.append(settings.passphrase_of_master_key)
    secret += sorted(settings.data.glob("tillit.sqlite*"))
    opened = [path for path in secret if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    for path in opened:
        wanted = "0700" if path.is_dir() else "0600"
        # Who may look into a directory still cannot open what lies in it.
        verdict: Verdict = "look" if path.is_dir() else "BAD"
        yield Finding(verdict, "files", f"{path} is open to others: chmod {wanted} it")
    if not opened:
        yield Finding("ok", "files", "keys, passphrase and database are for their owner alone")


def _open_files() -> "Iterator[Finding]":
    from tillit_server.serving.service import CONNECTIONS, MANY_FILES
    from tillit_server.signing.doctor import Finding

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * CONNECTIONS:
        text = f"at most {hard}, and a worker holds {CONNECTIONS} connections: LimitNOFILE={MANY_FILES}"
        yield Finding("BAD", "open files", text)
    else:
        shown = "any number" if hard == resource.RLIM_INFINITY else f"{hard:,}"
        yield Finding("ok", "open files", f"{shown} for each process")


def _addresses(settings: "Settings") -> "Iterator[Finding]":
    from tillit_server.signing.doctor import Finding

    loopback = settings.host.startswith("127.") or settings.host == "::1"
    if not settings.dev and not loopback and not settings.trusted_proxies:
        text = "listens beyond this host and no proxy is named: set trusted_proxies, or all are one address"
        yield Finding("look", "proxy", text)
    elif not settings.dev and loopback and not settings.trusted_proxies:
        text = "nobody is counted by address: set trusted_proxies to the proxy, if it is on this host"
        yield Finding("look", "proxy", text)
    else:
        yield Finding("ok", "proxy", f"believed: {', '.join(settings.trusted_proxies) or 'none'}")
    if settings.management_port and not settings.management_host.startswith("127."):
        text = f"health and metrics listen on {settings.management_host}: let a firewall keep strangers away"
        yield Finding("look", "management", text)
    yield _issuer(settings)


def _issuer(settings: "Settings") -> "Finding":
    """What the world reads at the issuer's address is about this issuer; told only when it answers."""
    import httpx

    from tillit.protocol.metadata import OPENID_PATH
    from tillit_server.signing.doctor import Finding

    url = settings.issuer + OPENID_PATH
    try:
        answer = httpx.get(url, timeout=3.0, follow_redirects=False, trust_env=False)
        said = answer.json()["issuer"] if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return Finding("look", "issuer", f"{url} gave no metadata: start the service, and look at the proxy")
    if said != settings.issuer:
        return Finding("BAD", "issuer", f"{url} speaks for another issuer: pass the whole path on, unchanged")
    difference = _difference(answer.headers.get("Date"))
    if difference is not None and abs(difference) > _SKEW:
        text = f"{url} is {difference:.0f} s away from this host's clock: set the clocks"
        return Finding("BAD", "issuer", text)
    return Finding("ok", "issuer", f"{url} answers for itself")


def _difference(date: str | None) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return parsedate_to_datetime(date or "").timestamp() - time.time()
    except ValueError:
        return None


def _existing(path: Path) -> Path:
    """``path``, or the nearest directory above it that is there."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def _file_system(path: Path, mounts: Path) -> str:
    """The kind of file system that ``path`` is on, as the kernel calls it; empty where it does not tell."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    real = path.resolve()
    above = [(len(where), kind) for _, where, kind, *_ in lines if real.is_relative_to(where)]
    return max(above)[1] if above else ""
