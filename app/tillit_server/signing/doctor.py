"""Looks at everything that keys need, and says in one line each what is in order and what to do where not."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tillit_server.signing.clocks import judge as clocks_differ
from tillit_server.signing.custody import Custody
from tillit_server.signing.envelope import Envelope
from tillit_server.signing.files import CustodyError
from tillit_server.signing.key_moves import honest_from, instant, standby_of
from tillit_server.signing.key_plan import KeyPlan
from tillit_server.signing.key_store import KeyStore, TokenUnavailable
from tillit_server.signing.keyring import KeyRing, NoSigningKey, Policy, active_key
from tillit_server.signing.secrets import SecretPlan
from tillit_server.storage.ports import Records, StorageUnavailable

Verdict: TypeAlias = Literal["ok", "look", "BAD"]

CLOCKS = 60
"""Two hosts whose clocks differ by more seconds than this must not both change the ring."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and what was found; ``look`` is no fault, and somebody should know."""

    verdict: Verdict
    what: str
    text: str


def examine(
    records: Records,
    custody: Custody,
    policy: Policy,
    algorithms: Collection[str],
    now: float,
    *,
    stores: Sequence[KeyStore] = (),
) -> Iterator[Finding]:
    """The findings about both rings, the guard, the clock, the keys of each enabled algorithm, the token."""
    keys = KeyPlan(custody, policy, algorithms, stores)
    plans: tuple[KeyPlan | SecretPlan, ...] = (SecretPlan(custody), keys)
    if differ := clocks_differ(records, now):
        text = f"those of two hosts differ by {abs(differ):.0f} s, nobody changes keys: set them"
        yield Finding("BAD", "clocks", text)
    for plan in plans:
        opened = _opened(records, custody, plan)
        if isinstance(opened, Finding):
            yield opened
            continue
        epoch, body, written_at = opened
        what = f"ring of {'keys' if plan.name == 'signing' else 'secrets'}"
        yield Finding(
            "ok", what, f"opens with this master key, as new as this host remembers (epoch {epoch})"
        )
        yield _clock(written_at, now, what)
        if plan.name == "signing":
            for alg in sorted(algorithms):
                yield from _keys(body.ring, alg, policy, now)
            for store in stores:
                yield from _outside(store, body.ring)


def _opened(
    records: Records, custody: Custody, plan: KeyPlan | SecretPlan
) -> tuple[int, Any, float] | Finding:
    try:
        found = Envelope(plan.name, custody).fetch(records)
        if found is None:
            return Finding("look", f"{plan.name} ring", "not made yet: the first start makes it")
        record, opened = found
        written_at: float = record.value["written_at"]
        return opened.epoch, plan.from_json(opened.body), written_at
    except (CustodyError, StorageUnavailable) as error:
        return Finding("BAD", f"{plan.name} ring", str(error))
    except (ValueError, TypeError, KeyError):
        return Finding("BAD", f"{plan.name} ring", "cannot be read: restore the database")


def _clock(written_at: float, now: float, what: str) -> Finding:
    behind = written_at - now
    if behind > CLOCKS:
        text = f"{behind:.0f} s behind the host that wrote the {what}: set the clocks before you change keys"
        return Finding("BAD", "clock", text)
    return Finding("ok", "clock", f"{instant(now)}, after the last change of the {what}")


def _outside(store: KeyStore, ring: KeyRing) -> Iterator[Finding]:
    """What a store holds outside the ring, compared with what the ring says it does."""
    wanted = {e.private: e.kid for e in ring.entries if (e.private or "").startswith(f"{store.scheme}:")}
    what = f"{store.scheme} token"
    try:
        held = store.held()
    except TokenUnavailable as error:
        yield Finding("BAD", what, str(error))
        return
    if held is None:
        return
    for text, kid in wanted.items():
        if text not in held:
            yield Finding("BAD", what, f"the private half of {kid} is not in it: keys revoke it --now")
    for text, label in held.items():
        if text not in wanted:
            about = f"{text.partition(':')[2]} ({label}) belongs to no key of this ring"
            yield Finding("look", what, f"{about}: another installation's, or left by a killed process")
    if held.keys() == wanted.keys() != set():
        yield Finding("ok", what, f"logged in; its {len(held)} private keys are those of the ring")


def _keys(ring: KeyRing, alg: str, policy: Policy, now: float) -> Iterator[Finding]:
    try:
        entry = active_key(ring, alg, now)
    except NoSigningKey as error:
        yield Finding("look", f"{alg} key", f"{error}; until then it cannot be used")
    else:
        until = "its successor is ready" if entry.retire_from is None else instant(entry.retire_from)
        if entry.private is None:
            yield Finding("BAD", f"{alg} key", f"{entry.kid} has no private half: keys revoke it --now")
        else:
            yield Finding("ok", f"{alg} key", f"{entry.kid} signs until {until}")
    standby = standby_of(ring, alg, now)
    if standby is None:
        yield Finding("BAD", f"{alg} standby", f"none: start the service, or keys announce --alg {alg}")
    elif now < honest_from(standby, policy):
        ready = instant(honest_from(standby, policy))
        yield Finding(
            "look", f"{alg} standby", f"{standby.kid} is young: known to every verifier from {ready}"
        )
    else:
        yield Finding(
            "ok", f"{alg} standby", f"{standby.kid}, published since {instant(standby.announced_at)}"
        )
