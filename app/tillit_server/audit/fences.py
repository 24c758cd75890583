"""A replay fence and the entry that tells of it, written in one act."""

from tillit_server.audit.events import ReplayFenceRaised
from tillit_server.audit.log import AuditLog
from tillit_server.storage.ports import Put, Settlement, Store
from tillit_server.storage.spending import FenceRaised, WriteFence


def recording_fences(store: Store, audit: AuditLog) -> WriteFence:
    """What writes fences to `store`. Raises `Conflict` to the loser, and `StorageUnavailable`."""

    def write(put: Put, raised: FenceRaised) -> None:
        event = ReplayFenceRaised(number=raised.number, fence_at=raised.fence, reason=raised.reason)
        store.settle(Settlement(puts=(put,), entries=(audit.entry(event),)))

    return write
