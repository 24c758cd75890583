"""The key of each month, which encrypts personal members: retention destroys the key, not the entry."""

import base64
import secrets
import time
from collections.abc import Iterator
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tillit_server.storage.ports import Conflict, Records

KIND = "audit-month"
_KEY_BYTES = 32


def month_of(now: float) -> str:
    """The UTC month of an instant, `2026-11`."""
    return _month_of_hour(int(now // 3600))


@lru_cache(maxsize=16)
def _month_of_hour(hour: int) -> str:
    # Every entry names its month, and months begin on the hour.
    moment = time.gmtime(hour * 3600)
    return f"{moment.tm_year:04}-{moment.tm_mon:02}"


class MonthKeys:
    """Month keys as records, sealed like every record; a destroyed one leaves a mark, and stays destroyed."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._current: tuple[str, str, AESGCM] = ("", "", AESGCM(bytes(_KEY_BYTES)))

    def for_writing(self, month: str) -> tuple[str, AESGCM]:
        """The key id and key of a month, made when nobody has. Raises `StorageUnavailable`."""
        cached = self._current
        if cached[0] != month:
            identifier, key = self._make(month)
            cached = self._current = (month, identifier, key)
        return cached[1], cached[2]

    def for_reading(self, identifier: str) -> AESGCM | None:
        """The key of an id, or None when it has been destroyed. Raises `StorageUnavailable`."""
        record = self._records.get(KIND, identifier)
        return None if record is None else _key(record.value)

    def months(self) -> Iterator[str]:
        """Every month with a living key, oldest first. Raises `StorageUnavailable`."""
        yield from dict.fromkeys(
            identifier.partition(".")[0]
            for identifier, record in self._records.each(KIND)
            if _key(record.value) is not None
        )

    def destroy(self, month: str) -> int:
        """Destroy every key of a month and return how many. Raises `StorageUnavailable`, `Conflict`."""
        destroyed = 0
        for identifier, record in list(self._records.each(KIND)):
            if identifier.partition(".")[0] == month and _key(record.value) is not None:
                self._records.put(KIND, identifier, {"destroyed": True}, expect=record.version)
                destroyed += 1
        return destroyed

    def _make(self, month: str) -> tuple[str, AESGCM]:
        # A clock set back into a destroyed month gets a second key: the first one stays destroyed.
        number = 0
        while True:
            number += 1
            identifier = month if number == 1 else f"{month}.{number}"
            record = self._records.get(KIND, identifier)
            if record is None:
                value = {"key": base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}
                try:
                    self._records.put(KIND, identifier, value, expect=0)
                except Conflict:
                    record = self._records.get(KIND, identifier)
                else:
                    return identifier, AESGCM(base64.b64decode(value["key"]))
            if record is not None and (key := _key(record.value)) is not None:
                return identifier, key


def _key(value: dict[str, str]) -> AESGCM | None:
    return AESGCM(base64.b64decode(value["key"])) if "key" in value else None
