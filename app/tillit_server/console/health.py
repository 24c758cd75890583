"""Health: whether a worker, and the service as a whole, should be sent requests; part by part."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tillit_server.signing.files import CustodyError
from tillit_server.signing.keyring import NoSigningKey
from tillit_server.storage.ports import StorageUnavailable

_log = logging.getLogger("tillit.health")

OK = "ok"
NO_ANSWER = "no answer"
STARTING = "starting"
_TELLING = (StorageUnavailable, CustodyError, NoSigningKey)


class NotWell(Exception):
    """A part that is not well; the text says why, in one line that may be shown to an operator."""


@dataclass(frozen=True, slots=True)
class HealthPart:
    """Something without which a worker cannot do its work.

    ``look`` gives its answer within a second; whatever it raises means that the part is not well.
    """

    name: str
    look: Callable[[], object]


def parts_of_health(parts: Iterable[HealthPart]) -> dict[str, str]:
    """Each part by name: ``ok``, or in one line why not. Never raises."""
    return {part.name: _state(part) for part in parts}


def _state(part: HealthPart) -> str:
    try:
        part.look()
    except (NotWell, *_TELLING) as reason:
        return " ".join(str(reason).split()) or type(reason).__name__
    except Exception as error:  # noqa: BLE001 (whatever it is, the part is not well)
        # The text of an exception that we do not know may hold anything.
        _log.exception("health could not be told", extra={"event": {"part": part.name}})
        return type(error).__name__
    return OK


def readiness(
    workers: Sequence[Mapping[str, str] | str],
    *,
    draining: bool,
    servers: Mapping[str, float] = MappingProxyType({}),
) -> tuple[bool, dict[str, Any]]:
    """Whether the service should be sent requests, and the report that says why.

    ``workers``: of each worker its parts, or one word in place of them. One that is starting does not listen
    yet and counts for nothing; one that gives no answer does listen, so requests would wait for it.
    ``servers``: numbers that are shown and not judged.
    """
    serving = [parts for parts in workers if parts != STARTING]
    well = bool(serving) and all(isinstance(parts, Mapping) and _well(parts) for parts in serving)
    ready = well and not draining
    status = "ready" if ready else "draining" if draining else "not ready"
    shown = [dict(parts) if isinstance(parts, Mapping) else parts for parts in workers]
    report: dict[str, Any] = {"status": status, "parts": _worst(serving), "workers": shown}
    return ready, report | ({"servers": dict(servers)} if servers else {})


def _well(parts: Mapping[str, str]) -> bool:
    return all(state == OK for state in parts.values())


def _worst(workers: Iterable[Mapping[str, str] | str]) -> dict[str, str]:
    """Each part as the worker sees it that is worst off."""
    worst: dict[str, str] = {}
    for parts in workers:
        for name, state in parts.items() if isinstance(parts, Mapping) else ():
            if worst.get(name, OK) == OK:
                worst[name] = state
    return worst
