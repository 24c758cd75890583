"""A5: the enterprise is a member, the client's own, and the unit is one of its units; else nothing is issued."""

from dataclasses import replace

import pytest
from werkzeug.test import Client, TestResponse

from support.backstage import Backstage
from support.ehr import ORGNR, attestation
from tillit.attestation.registers import Registers, RegisterUnavailable
from tillit_server.issuer.explain import ExplainLimit
from tillit_server.web.routes import Doors, make_app

DENIED, INVALID = "access_denied", "invalid_authorization_details"


def of(number: str, unit: str | None = None) -> dict:
    """An attestation for an enterprise and one of its units, without what belongs to the hospital."""
    return attestation(
        practitioner__legal_entity={"id": number, "system": ORGNR},
        practitioner__point_of_care={"id": unit or number, "system": ORGNR},
        practitioner__department=...,
        patients=[{}],
    )


@pytest.mark.parametrize(
    ("number", "reason"),
    [("314000110", "ended"), ("314000129", "terms"), ("313000214", "agreement"), ("313000222", "member")],
)
def test_a5_without_a_valid_membership_there_is_no_token(number: str, reason: str, backstage: Backstage):
    """Ended, terms not accepted, no agreement, never a member: refused, each with its reason."""
    ehr = backstage.client(legal_entities=[number])
    answer = ehr.token(of(number))
    assert (answer.status, answer.error) == (400, DENIED)
    assert answer.description.startswith("ATT-12: practitioner.legal_entity: no valid membership: ")
    assert reason in answer.description


def test_a5_another_enterprise_than_the_clients_is_refused(backstage: Backstage):
    """A client acts for its own enterprise, or for those that delegated to it, and no other."""
    ehr = backstage.client()
    answer = ehr.token(of("314200772"))
    assert (answer.error, answer.description) == (
        DENIED,
        "ATT-13: practitioner.legal_entity: not delegated to this client",
    )
    vendor = backstage.client(tenancy="multi", legal_entities=["310000019", "314200772"])
    assert vendor.token(of("314200772")).status == 200
    assert vendor.token(of("215600343")).description.startswith("ATT-13: ")


@pytest.mark.parametrize(
    ("entity", "unit", "text"),
    [
        ("310000018", "311540025", "ATT-15: practitioner.legal_entity.id: check digit"),
        ("31000001", "311540025", "ATT-15: practitioner.legal_entity.id: nine digits"),
        ("311540025", "311540025", "ATT-12: practitioner.legal_entity: no valid membership"),
        ("310000019", "314200772", "ATT-18: practitioner.point_of_care: not a unit of legal_entity"),
        ("310000019", "312331055", "ATT-18: practitioner.point_of_care: not a unit of legal_entity"),
        ("310000019", "311540024", "ATT-18: practitioner.point_of_care.id: check digit"),
        ("310000019", "974589095", "ATT-18: practitioner.point_of_care: not a unit of legal_entity"),
    ],
)
def test_a5_units_are_what_the_register_says(entity: str, unit: str, text: str, backstage: Backstage):
    """A number that does not exist, a unit as enterprise, another enterprise's unit: refused by rule."""
    answer = backstage.client().token(of(entity, unit))
    assert answer.status == 400
    assert answer.description.startswith(text)


def test_a5_a_unit_is_no_enterprise_even_if_the_client_says_so(backstage: Backstage):
    """A client registered for a sub-unit cannot attest it as the legal entity."""
    answer = backstage.client(legal_entities=["311540025"]).token(of("311540025"))
    assert (answer.error, answer.status) in {(DENIED, 400), (INVALID, 400)}
    assert answer.description.startswith(("ATT-12: ", "ATT-15: "))


class Away:
    """A register that does not answer."""

    def __getattr__(self, name: str) -> object:
        def asked(*_: object) -> None:
            raise RegisterUnavailable("the register")

        return asked


@pytest.mark.parametrize("which", ["hpr", "organisations", "membership"])
def test_a5_a_register_that_is_away_is_no_yes(which: str, backstage: Backstage):
    """When a register that must answer does not: 503 with `Retry-After`, nothing spent, and the audit tells."""
    ehr = backstage.client()
    services = backstage.services
    broken: Registers = replace(services.registers, **{which: Away()})
    form, proof = ehr.form(), ehr.proof()
    answer = posted(app(backstage, replace(services, registers=broken)), form, proof)
    assert answer.status_code == 503, answer.data
    assert answer.json is not None
    assert answer.json["error"] == "temporarily_unavailable"
    assert answer.json["error_description"] == "ATT-REGISTER: the register cannot be asked now"
    assert int(answer.headers["Retry-After"]) > 0
    (entry,) = backstage.awaited("registers.register.unavailable", client_id=ehr.client_id)
    assert entry.public["register"] == "the register"
    assert ehr.send(form, proof).status == 200


def app(backstage: Backstage, services: object) -> Client:
    """The front door over changed services."""
    doors = Doors(path="", metadata={}, max_age=1, explain_limit=ExplainLimit(1, backstage.service.now))
    return Client(make_app(services, doors))


def posted(door: Client, form: dict[str, str], proof: str) -> TestResponse:
    return door.post("/connect/token", data=form, headers={"DPoP": proof})
