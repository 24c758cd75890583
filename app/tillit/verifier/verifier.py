"""The check that a document source makes of every request, in the order in which it is made."""

import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Literal

from tillit.attestation.model import Attestation
from tillit.outbound.published import Unavailable
from tillit.outbound.transport import Send, require_safe_url, sender
from tillit.protocol.access_token import AccessToken, check_access_token
from tillit.protocol.dpop import Proof, check_proof
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.jose import ALGORITHMS
from tillit.verifier.access import Access, organisation_of, person_of
from tillit.verifier.attested import SourcePolicy, accept_attestation, patients_of, require_patient
from tillit.verifier.issuer_keys import IssuerKeys
from tillit.verifier.presented import BadCredentials, Headers, NoCredentials, Presented, read_headers
from tillit.verifier.refusals import Refusals, Refused
from tillit.verifier.replay import Replay, ReplayMemory, ReplayUnavailable

if TYPE_CHECKING:
    import httpx

REPLAY_SKEW = 10
"""Seconds a proof is remembered beyond its last possible use, for clocks that are corrected."""


class Verifier:
    """Checks the requests to one API, with tokens of one issuer for one audience. Threads may share it.

    It checks: the access token (RFC 9068: signature by a published key, type, issuer, our audience alone,
    times) · the DPoP proof (RFC 9449 §4.3: method, address, age, key, this token) and that it was not used
    before · the scope · the attestation (present, at most 60 minutes old, practitioner established in an
    accepted way, the person who logged in at level 4, purpose) · the patient of the request, when one is
    given.

    It does NOT check, and leaves to the source:

    - whether the patient has blocked this practitioner, role or enterprise (ATT-5), and which documents may
      be shown;
    - the patient, when `patient` is not given: give it, or call `require_patient`, for every request about
      one;
    - whether the token was revoked since it was issued: it lives a few minutes, and is verified offline;
    - HPR, membership and organisation registers: the issuer asked them (ATT-12, ATT-29, ATT-32);
    - that `url` is right: build it from configuration, never from `Host` or `X-Forwarded-*`;
    - replay between processes: give all of them one shared `replay`.

    Writing the attestation to the source's log, and showing the citizen names but never numbers (ATT-8), is
    the source's too.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        scope: str | Iterable[str] | None = None,
        accept_established_by: Collection[str] = frozenset({"login"}),
        require_attestation: bool = True,
        accepted_purposes: Collection[str] | None = None,
        unbound_patient: Literal["refuse", "accept"] = "refuse",
        synthetic_identifiers: bool = True,
        clock: Callable[[], float] = lambda: time.time(),  # noqa: PLW0108, a frozen clock must be seen
        http: "Send | httpx.Client | None" = None,
        replay: Replay | None = None,
        algorithms: Collection[str] = ALGORITHMS,
        proof_algorithms: Collection[str] = ALGORITHMS,
        leeway: int = 10,
        jwks_uri: str | None = None,
        name_source: bool = True,
        max_stale: float = 86_400.0,
        cool_down: float = 300.0,
    ) -> None:
        """Set what this API demands. Nothing is fetched before the first request, or `ping`.

        `scope`: all of these must be granted. `accept_established_by`: add ``"legal_entity"`` to accept
        practitioners whom only their enterprise vouches for. `accepted_purposes`: codes such as ``TREAT``;
        None accepts all four. `unbound_patient`: what becomes of a request about a patient when the token
        names none; ``"accept"`` accepts an unnamed patient, never an empty list. `synthetic_identifiers`:
        False refuses test persons even if the issuer let them through. `http`: a `Send` or an `httpx.Client`.
        `algorithms` and `proof_algorithms`: add ``RS256`` only for an issuer or clients that need it.
        `name_source`: tell the issuer our `audience` when its keys are fetched, so that whoever rotates them
        sees who has them. `leeway`, `max_stale` (how long old keys serve when the issuer is away) and
        `cool_down` (between fetches for unknown keys) are in seconds. Raises `TransportError` for an issuer
        that is neither https nor on loopback.
        """
        self._issuer = require_safe_url(issuer)
        self._audience = audience
        self._scope = tuple(scope.split()) if isinstance(scope, str) else tuple(scope or ())
        self._policy = SourcePolicy(
            required=require_attestation,
            accept_established_by=frozenset(accept_established_by),
            accepted_purposes=None if accepted_purposes is None else frozenset(accepted_purposes),
            unbound_patient=unbound_patient,
            synthetic_identifiers=synthetic_identifiers,
        )
        self._clock = clock
        self._replay = replay if replay is not None else ReplayMemory()
        self._algorithms = tuple(algorithms)
        self._proof_algorithms = tuple(proof_algorithms)
        self._leeway = leeway
        self._refusals = Refusals(self._proof_algorithms)
        self._keys = IssuerKeys(
            issuer,
            send=sender(http),
            clock=clock,
            algorithms=self._algorithms,
            jwks_uri=jwks_uri,
            source=audience if name_source else None,
            max_stale=max_stale,
            cool_down=cool_down,
        )

    def verify(self, method: str, url: str, headers: Headers, patient: str | None = None) -> Access:
        """Check one request. Gives `Access`, or raises `Refused`, which is the answer to send.

        `url` is the request's public address as configured (query and fragment are ignored). `headers` are
        pairs, or a mapping where duplicates cannot occur. `patient` is the national number of the person the
        request is about.
        """
        now = self._clock()
        presented = self._credentials(headers)
        token = self._accept_token(presented, now)
        proof = self._accept_proof(presented, token, method, url, now)
        self._claim_proof(proof, now)
        if not set(self._scope) <= set(token.scope):
            raise self._refusals.insufficient_scope(self._scope)
        attested = accept_attestation(
            token.claims, policy=self._policy, refusals=self._refusals, now=now, patient=patient
        )
        return _access(token, attested.attestation, attested.established_by)

    def require_patient(self, access: Access, patient: str) -> None:
        """Check the patient of a request that names one only in its body or its result. Raises `Refused`."""
        require_patient(access.attestation, policy=self._policy, refusals=self._refusals, patient=patient)

    def not_permitted(self, detail: str = "") -> Refused:
        """Make the refusal for a source's own reason, such as a block, which it never tells (ATT-5)."""
        return self._refusals.not_permitted(detail)

    def ping(self) -> int:
        """Give the number of usable keys of the issuer, fetching them when needed. Raises `Unavailable`."""
        return self._keys.ping()

    def _credentials(self, headers: Headers) -> Presented:
        try:
            presented = read_headers(headers)
        except NoCredentials:
            raise self._refusals.no_credentials() from None
        except BadCredentials as error:
            raise self._refusals.invalid_token(
                "one Authorization header with one token is needed", detail=str(error)
            ) from None
        if presented.scheme != "dpop":
            # RFC 9449 §7.2: a bound token must never pass as Bearer.
            raise self._refusals.invalid_token("the token must be presented with the scheme DPoP")
        return presented

    def _accept_token(self, presented: Presented, now: float) -> AccessToken:
        try:
            token = check_access_token(
                presented.unverified_token,
                keys=self._keys,
                issuer=self._issuer,
                audience=self._audience,
                now=now,
                algorithms=self._algorithms,
                leeway=self._leeway,
            )
        except Rejected as rejected:
            raise self._refusals.bad_token(rejected) from rejected
        except Unavailable as error:
            raise self._refusals.unavailable(f"keys of the issuer: {error}", error.retry_after) from error
        if token.jkt is None:
            raise self._refusals.invalid_token("the token is not bound to a key", detail="no cnf.jkt")
        return token

    def _accept_proof(
        self, presented: Presented, token: AccessToken, method: str, url: str, now: float
    ) -> Proof:
        try:
            return check_proof(
                presented.proofs,
                method=method,
                url=url,
                now=now,
                algorithms=self._proof_algorithms,
                access_token=presented.unverified_token,
                expected_jkt=token.jkt,
            )
        except OAuthError as error:
            raise self._refusals.bad_proof(error) from error

    def _claim_proof(self, proof: Proof, now: float) -> None:
        # After both signatures, so that strangers cannot fill the memory; before the rest, so that no answer
        # to a replay tells more than that it is one.
        try:
            fresh = self._replay.claim(proof.jkt, proof.jti, until=proof.expires_at + REPLAY_SKEW, now=now)
        except ReplayUnavailable as error:
            raise self._refusals.unavailable(f"replay memory: {error}", retry_after=1) from error
        if not fresh:
            raise self._refusals.replayed_proof()


def _access(token: AccessToken, attestation: Attestation | None, established_by: str) -> Access:
    return Access(
        person=person_of(attestation, established_by) if attestation else None,
        organisation=organisation_of(attestation) if attestation else None,
        attestation=attestation,
        scope=token.scope,
        client_id=token.client_id,
        subject=token.subject,
        purpose=attestation.care_relationship.purpose_of_use.code if attestation else None,
        patients=patients_of(attestation),
        token_id=token.jti,
        expires_at=token.expires_at,
        key_thumbprint=token.jkt or "",
        claims=token.claims,
    )
