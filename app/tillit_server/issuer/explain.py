"""Why a token request is refused, or what it would be granted: the same steps, every finding, no token.

In development mode nothing is spent. Elsewhere explain must not become an oracle: it stops where client
authentication fails, spends the assertion and the proof it was sent, is written down, is limited per
client, never opens a code or refresh token, and of rules that ask a register it tells the id only.
"""

from collections.abc import Callable, Iterable
from typing import Any

from tillit.attestation.findings import Violation
from tillit.attestation.rows import Register
from tillit.attestation.rulebook import RULE_PACK_VERSION, RULES
from tillit.protocol.errors import OAuthError
from tillit_server.audit.events import RequestExplained
from tillit_server.issuer.answers import NO_STORE, Answer
from tillit_server.issuer.attesting import AttestationRefused
from tillit_server.issuer.grants.basis import Basis
from tillit_server.issuer.minting import token_lifetime
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services
from tillit_server.issuer.settling import single_use_ids
from tillit_server.issuer.steps import Finding, NotYetKnown, Outcome, run, run_all
from tillit_server.issuer.token_endpoint import (
    JUDGING_STEPS,
    TokenFacts,
    authenticated_client,
    basis_of_grant,
    known_grant,
    settle,
)
from tillit_server.storage.ports import Settlement

WINDOW = 60.0
_MAX_CLIENTS = 10_000
_SECRETS = {"authorization_code": "code", "refresh_token": "refresh_token"}
_ASKS_A_REGISTER = frozenset(row.id for row in RULES if isinstance(row.basis, Register))


class ExplainLimit:
    """So many explanations per client and minute in this worker."""

    def __init__(self, per_minute: int, monotonic: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._monotonic = monotonic
        self._used: dict[str, tuple[float, int]] = {}

    def take(self, client_id: str) -> None:
        """Count one. Raises ``OAuthError`` (429, ``Retry-After``) when the client has had its share."""
        now = self._monotonic()
        since, count = self._used.get(client_id, (now, 0))
        if now - since >= WINDOW:
            since, count = now, 0
        if count >= self._per_minute:
            wait = str(max(1, int(since + WINDOW - now)))
            raise OAuthError(
                "temporarily_unavailable",
                "explain: too many requests by this client",
                status=429,
                headers=(("Retry-After", wait),),
            )
        if len(self._used) >= _MAX_CLIENTS:
            self._used.clear()
        self._used[client_id] = (since, count + 1)


def explain_token_request(request: Request, services: Services, limit: ExplainLimit) -> Answer:
    """Explain the token request that ``request`` is.

    Raises ``Refused`` where it must not answer (authentication failed, replayed) and ``OAuthError`` 429;
    ``StorageUnavailable``.
    """
    known = TokenFacts(request, services)
    if not services.dev:
        run((known_grant, authenticated_client), known)
        limit.take(known.authenticated_client.client.id)
    outcomes = tuple(run_all(JUDGING_STEPS if services.dev else _CLOSED_STEPS, known))
    if not services.dev:
        _spend(known, outcomes)
    challenge = tuple(header for outcome in outcomes if outcome.error for header in outcome.error.headers)
    return Answer(200, _report(known, outcomes), (*challenge, *NO_STORE))


def _unopened_basis(known: TokenFacts) -> Basis:
    """The basis, except of a grant that rests on a secret: whether that is good only its use tells."""
    name = known.request.form.get("grant_type")
    if name in _SECRETS:
        raise NotYetKnown(_SECRETS[name])
    return basis_of_grant(known)


_unopened_basis.__name__ = basis_of_grant.__name__
_CLOSED_STEPS = tuple(_unopened_basis if step is basis_of_grant else step for step in JUDGING_STEPS)


def _spend(known: TokenFacts, outcomes: Iterable[Outcome[TokenFacts]]) -> None:
    refused = [outcome.finding for outcome in outcomes if outcome.finding]
    try:
        proof = known.fresh_proof
    except NotYetKnown:
        proof = None
    event = RequestExplained(
        client_id=known.authenticated_client.client.id,
        assertion_jti=known.authenticated_client.assertion.jti,
        refused_by=refused[0].step if refused else None,
        rules=tuple(finding.rule for finding in refused if finding.rule),
    )
    settle(
        known,
        Settlement(
            claims=single_use_ids(known.authenticated_client, proof),
            entries=(known.services.audit.entry(event),),
        ),
    )


def _report(known: TokenFacts, outcomes: tuple[Outcome[TokenFacts], ...]) -> dict[str, Any]:
    first = next((outcome for outcome in outcomes if outcome.finding), None)
    undecided = any(outcome.verdict == "not_reached" for outcome in outcomes)
    report: dict[str, Any] = {
        "verdict": "refused" if first else "undecided" if undecided else "accepted",
        "rule_pack_version": RULE_PACK_VERSION,
        "steps": [_step(outcome, dev=known.services.dev) for outcome in outcomes],
    }
    if first and first.finding:
        report["refused_by"] = first.step
        if not _tells_of_a_register(first, dev=known.services.dev):
            report |= {"error": first.finding.code, "error_description": first.finding.description}
    elif not undecided:
        target, attested = known.narrowed_scope, known.accepted_attestation
        report["would_grant"] = {
            "scope": " ".join(target.scopes),
            "audience": target.api.audience,
            "lifetime": token_lifetime(target, attested, known.basis_of_grant, known.now),
            "attested": attested.attestation is not None,
        }
    return report


def _step(outcome: Outcome[TokenFacts], *, dev: bool) -> dict[str, Any]:
    step: dict[str, Any] = {"step": outcome.step, "verdict": outcome.verdict}
    if outcome.needs:
        step["needs"] = outcome.needs
    if outcome.finding:
        step |= _finding(outcome.finding)
    if _tells_of_a_register(outcome, dev=dev):
        step = {name: step[name] for name in ("step", "verdict", "rule")}
    if violations := _violations(outcome):
        step["findings"] = [_violation(violation, dev=dev) for violation in violations]
    return step


def _violations(outcome: Outcome[TokenFacts]) -> tuple[Violation, ...]:
    return outcome.error.violations if isinstance(outcome.error, AttestationRefused) else ()


def _tells_of_a_register(outcome: Outcome[TokenFacts], *, dev: bool) -> bool:
    """Whether what this step says first is what a register holds, which only development mode tells."""
    return not dev and any(violation.rule in _ASKS_A_REGISTER for violation in _violations(outcome)[:1])


def _violation(violation: Violation, *, dev: bool) -> dict[str, Any]:
    if not dev and violation.rule in _ASKS_A_REGISTER:
        return {"rule": violation.rule}
    return {
        "rule": violation.rule,
        "error": violation.code,
        "pointer": violation.pointer,
        "description": violation.description,
        **_present(
            expected=violation.expected, found=violation.found, clock_difference=violation.clock_difference
        ),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "error": finding.code,
        "description": finding.detail if finding.code == "invalid_client" else finding.description,
        **_present(
            rule=finding.rule,
            pointer=finding.pointer,
            expected=finding.expected,
            found=finding.found,
            clock_difference=finding.clock_difference,
        ),
    }


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, "")}
