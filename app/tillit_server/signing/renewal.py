"""A new master key for the whole installation: both rings are sealed anew, then its file replaces the old.

From the first ring that is sealed with it every host needs the new file, beside the old one; a host that
lacks it signs nothing, says so in one line, and goes on when it is given the file. Whoever is killed in the
middle leaves rings that open with the two files, and the same command goes on from there.
"""

from tillit_server.signing.custody import Custody
from tillit_server.signing.envelope import KIND
from tillit_server.signing.secrets import Secrets
from tillit_server.signing.signer import Signer
from tillit_server.storage.ports import Records

RINGS = ("secrets", "signing")


def renew(
    custody: Custody, records: Records, secrets: Secrets, signer: Signer, *, operator: str, reason: str
) -> None:
    """Seal both rings with the next master key, which must be there, and put it in the place of the old one.

    Raises ``CustodyError``, ``StorageUnavailable``.
    """
    custody.follow(custody.next_id)
    for name, reseal in zip(RINGS, (secrets.reseal, signer.reseal), strict=True):
        if _sealed_with(records, name) != custody.master_id:
            reseal(operator=operator, reason=reason)
    finish(custody, records)


def finish(custody: Custody, records: Records) -> bool:
    """Whether the next master key took the old one's place: when no ring needs that any more.

    Done at every start too, so that each host does it for itself. Raises as ``renew``.
    """
    following = custody.next_id
    if not following or any(_sealed_with(records, name) != following for name in RINGS):
        return False
    custody.finish()
    return True


def _sealed_with(records: Records, ring: str) -> str:
    record = records.get(KIND, ring)
    return str(record.value["master"]) if record else ""
