"""The attestation of a request: found, judged as trust anchor, enriched from the registers.

It comes with a token request (in the client assertion, for that token alone) or with the authorization
request (in a signed request object, for every token of the login while it is fresh), never with both.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tillit.attestation.circumstances import Circumstances, Party
from tillit.attestation.enrichment import enrich
from tillit.attestation.findings import Violation
from tillit.attestation.model import Attestation
from tillit.attestation.registers import RegisterUnavailable
from tillit.attestation.rulebook import Examination, examine
from tillit.attestation.wire import to_claim
from tillit.protocol.authorization_details import ATTESTATION_TYPE, JOURNAL_TYPE, ORGANISATION_TYPE, of_type
from tillit.protocol.errors import OAuthError
from tillit.quick import quick
from tillit_server.issuer.apis import ATTESTATION_SCOPE, Api
from tillit_server.issuer.authorized import Authorized, CarriedDetails
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.details import details_of, journal_id_of, refuse_double
from tillit_server.issuer.organisations import Organisations, read_organisations
from tillit_server.issuer.services import Services
from tillit_server.issuer.target import Target
from tillit_server.issuer.users import User

MAX_AGE = 3600  # seconds an attestation may be relied on (ATT-58c)
RETRY_AFTER = 5
REGISTER_AWAY = "ATT-REGISTER"

EstablishedBy = Literal["login", "legal_entity"]


@quick
@dataclass(frozen=True, slots=True)
class Attested:
    """What the request attests: the organisations, and the enriched attestation if one was sent.

    ``claim``: the value of the token's claim. ``notes``: lenient readings, for the audit.
    """

    organisations: Organisations
    attestation: Attestation | None = None
    claim: Mapping[str, Any] | None = None
    journal_id: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def expires_at(self) -> int | None:
        """The instant after which nothing may rest on this attestation (ATT-58b, c)."""
        return None if self.attestation is None else self.attestation.toa + MAX_AGE


class AttestationRefused(OAuthError):
    """The attestation breaks rules; ``violations`` lists all of them, the error speaks of the first."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        first = violations[0]
        super().__init__(
            first.code,
            first.description,
            rule=first.prefix,
            pointer=first.pointer,
            expected=first.expected,
            found=first.found,
            clock_difference=first.clock_difference,
            detail="; ".join(violation.rule for violation in violations),
        )
        self.violations = violations


def accept_attestation(
    authenticated: AuthenticatedClient,
    target: Target,
    services: Services,
    now: float,
    *,
    established_by: EstablishedBy,
    authorized: Authorized | None = None,
) -> Attested:
    """Judge and enrich what the client assertion attests, or what the login behind the request does.

    Raises ``OAuthError``: HID-… for organisation numbers, ATT-… for the attestation (``AttestationRefused``),
    ``temporarily_unavailable`` when a register that must answer does not.
    """
    client, api = authenticated.client, target.api
    sent, stored = details_of(authenticated), None
    if authorized is not None and authorized.carried is not None:
        stored = authorized.carried
        refuse_double(sent, stored.details)
        sent = (*sent, *(detail for detail in stored.details if of_type(sent, detail["type"]) is None))
    organisations = read_organisations(client, of_type(sent, ORGANISATION_TYPE))
    journal_id = journal_id_of(client, of_type(sent, JOURNAL_TYPE))
    attestation = of_type(sent, ATTESTATION_TYPE)
    if attestation is None:
        require_none_needed(api)
        return Attested(organisations, journal_id=journal_id)
    if stored is not None and of_type(stored.details, ATTESTATION_TYPE) is None:
        stored = None
    user = authorized.user if authorized is not None else None
    carrier_iat = stored.carrier_iat if stored is not None else authenticated.assertion.iat
    circumstances = _circumstances(
        client,
        services,
        now,
        carrier_iat=carrier_iat,
        organisations=organisations,
        apis=(api,),
        scopes=target.scopes,
        established_by=established_by,
        user=user,
        stored_with_grant=stored is not None,
    )
    try:
        examination = _examined(attestation, circumstances, carrier_iat)
        enriched = enrich(
            _accepted(examination),
            services.registers,
            circumstances.codes,
            person=user.pid if user else None,
            # The citizen is to see a name (ATT-8); HPR's is the better one, and does not have everybody's.
            person_name=(user.name or None) if user else None,
        )
    except RegisterUnavailable as error:
        raise register_away(error) from error
    return Attested(organisations, enriched, to_claim(enriched), journal_id, _remarks(examination))


def check_pushed_details(
    client: Client, carried: CarriedDetails, scopes: Collection[str], services: Services, now: float
) -> None:
    """Judge the details of an authorization request as far as it can be done before anybody has logged in.

    ``scopes``: those asked for. Raises ``OAuthError`` as ``accept_attestation`` does.
    """
    _judge_carried(client, carried, scopes, services, now, user=None)


def check_user(  # noqa: PLR0917 (check_pushed_details with a user)
    client: Client,
    carried: CarriedDetails,
    user: User,
    scopes: Collection[str],
    services: Services,
    now: float,
) -> None:
    """Judge the details of an authorization request again, ``user`` having logged in (ATT-9, 11, 29, 32).

    Raises ``OAuthError`` as ``accept_attestation`` does; its description names no person.
    """
    _judge_carried(client, carried, scopes, services, now, user=user)


def require_none_needed(api: Api) -> None:
    """Nothing is attested: only an API that demands nothing gets a token then. Raises ``OAuthError``."""
    if api.attestation == "required":
        raise OAuthError(
            "access_denied", f"ATT-REQUIRED: attestation: required for {api.audience}", rule="ATT-REQUIRED"
        )


def register_away(error: RegisterUnavailable) -> OAuthError:
    """The answer when a register that must be asked cannot be (ATT-REGISTER): nothing is assumed."""
    return OAuthError(
        "temporarily_unavailable",
        f"{REGISTER_AWAY}: {error.register} cannot be asked now",
        status=503,
        detail=error.register,
        rule=REGISTER_AWAY,
        headers=(("Retry-After", str(RETRY_AFTER)),),
    )


def _judge_carried(
    client: Client,
    carried: CarriedDetails,
    scopes: Collection[str],
    services: Services,
    now: float,
    *,
    user: User | None,
) -> None:
    organisations = read_organisations(client, of_type(carried.details, ORGANISATION_TYPE))
    journal_id_of(client, of_type(carried.details, JOURNAL_TYPE))
    attestation = of_type(carried.details, ATTESTATION_TYPE)
    if attestation is None:
        return
    circumstances = _circumstances(
        client,
        services,
        now,
        carrier_iat=carried.carrier_iat,
        organisations=organisations,
        apis=tuple({api.audience: api for s in scopes if (api := services.apis.by_scope.get(s))}.values()),
        scopes=scopes,
        established_by="login",
        user=user,
        login_pending=user is None,
    )
    try:
        _accepted(_examined(attestation, circumstances, carried.carrier_iat))
    except RegisterUnavailable as error:
        raise register_away(error) from error


def _circumstances(
    client: Client,
    services: Services,
    now: float,
    *,
    carrier_iat: int,
    organisations: Organisations,
    apis: tuple[Api, ...],
    scopes: Collection[str],
    established_by: EstablishedBy,
    user: User | None,
    login_pending: bool = False,
    stored_with_grant: bool = False,
) -> Circumstances:
    """What the rulebook is told. Raises ``OAuthError`` for a client that may not attest at all."""
    if ATTESTATION_SCOPE not in client.scopes:
        raise OAuthError("invalid_scope", f"{ATTESTATION_SCOPE} is not granted to this client")
    return Circumstances(
        now=now,
        carrier_iat=carrier_iat,
        registers=services.registers,
        synthetic_identifiers=services.synthetic_identifiers,
        established_by=established_by,
        authenticated_person=user.pid if user is not None else None,
        security_level=user.security_level if user is not None else None,
        login_pending=login_pending,
        may_attest_without_login=client.attests_without_login,
        permitted_legal_entities=frozenset(client.legal_entities),
        claimed_parent=organisations.parent,
        claimed_child=organisations.child,
        scope_needs_patient=any(not api.patient_scopes.isdisjoint(scopes) for api in apis),
        patient_identifier=_patient_identifier(client, apis),
        toa_required=client.toa_required,
        decision_ref_must_be_uuid=client.decision_ref_must_be_uuid,
        department_required=client.department_required,
        details_required=client.purpose_of_use_details_required,
        stored_with_grant=stored_with_grant,
    )


def _patient_identifier(
    client: Client, apis: tuple[Api, ...]
) -> Literal["forbidden", "optional", "required"]:
    """The client's policy, else that of the APIs; where they differ, each token is judged by its own."""
    if client.patient_identifier != "optional" or not apis:
        return client.patient_identifier
    policy = apis[0].patient_identifier
    return policy if all(api.patient_identifier == policy for api in apis[1:]) else "optional"


def _examined(attestation: Mapping[str, Any], circumstances: Circumstances, carrier_iat: int) -> Examination:
    return examine(
        attestation, carrier_iat=carrier_iat, party=Party.TRUST_ANCHOR, circumstances=circumstances
    )


def _accepted(examination: Examination) -> Attestation:
    if examination.attestation is None:
        raise AttestationRefused(examination.violations)
    return examination.attestation


def _remarks(examination: Examination) -> tuple[str, ...]:
    return (
        *examination.notes,
        *(f"{remark.rule}: {remark.path}: {remark.text}" for remark in examination.remarks),
    )
