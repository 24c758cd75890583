"""What databases write in the same way: each write is a settlement of a single part."""

from collections.abc import Callable

from tillit_server.storage.ports import Entry, Json, Put, Settlement
from tillit_server.storage.work import Prepared, Preparer

Submit = Callable[[Prepared], None]


class WritingRecords:
    """The writing half of `ports.Records`."""

    def __init__(self, submit: Submit, preparer: Preparer) -> None:
        self._submit = submit
        self._preparer = preparer

    def put(
        self, kind: str, key: str, value: Json, *, expect: int | None = None, until: float | None = None
    ) -> int:
        """Write, and return the new version."""
        work = self._preparer.prepare(Settlement(puts=(Put(kind, key, value, expect, until),)))
        self._submit(work)
        return work.versions[0]

    def remove(self, kind: str, key: str, *, expect: int | None = None) -> None:
        """Remove."""
        self.put(kind, key, None, expect=expect)


class WritingJournal:
    """The writing half of `ports.Journal`."""

    def __init__(self, submit: Submit, preparer: Preparer) -> None:
        self._submit = submit
        self._preparer = preparer

    def append(self, entry: Entry) -> None:
        """Write one entry."""
        self._submit(self._preparer.prepare(Settlement(entries=(entry,))))

    def forget(self, period: str) -> int:
        """Drop all labels of a period, a thousand in each commit."""
        total = 0
        while True:
            work = Prepared()
            work.forget = period
            self._submit(work)
            if not work.forgotten:
                return total
            total += work.forgotten
