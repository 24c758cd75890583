"""The grants of a login when something beside them changes, fails or comes to an end."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.granted import HPR_SCOPE
from support.in_process import Guest, House
from support.redeeming import CALLBACK, WARD, Laid, lay
from support.two_parts import TwoParts
from tillit.attestation.registers import RegisterUnavailable
from tillit_server.issuer.families import FAMILY, Family
from tillit_server.issuer.revocation import revoke
from tillit_server.issuer.steps import Refused
from tillit_server.issuer.token_endpoint import issue_token, judge_token_request
from tillit_server.storage.ports import Conflict, Put, Settlement, StorageUnavailable

DAY = 86_400


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An installation in this process."""
    opened = House(tmp_path_factory.mktemp("house"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def guest(house: House) -> Guest:
    """A client of it."""
    return house.client("guest")


def form(laid: Laid) -> dict[str, str | None]:
    """The form for a code."""
    return {
        "grant_type": "authorization_code",
        "code": laid.code,
        "redirect_uri": CALLBACK,
        "code_verifier": laid.verifier,
    }


def tokens(house: House, guest: Guest, **login: Any) -> tuple[Laid, dict[str, Any]]:
    """A login and its tokens."""
    laid = lay(house, guest, **login)
    code, body = guest.send(guest.request(form(laid), key=guest.dpop_key))
    assert code == "ok"
    return laid, body


def refreshing(guest: Guest, body: dict[str, Any]) -> Any:
    """A refresh request with another proof key, so that the family has to be written."""
    sent = {"grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    return guest.request(sent, key=guest.other_key)


def family_of(house: House, laid: Laid) -> Family | None:
    """The family of a login, as it lies in the store."""
    found = house.services.store.records.get(FAMILY, laid.authorized.family)
    return Family.from_json(found.value) if found else None


class Away:
    """A register that does not answer."""

    def person(self, _person_id: str) -> None:
        """Nobody can be looked up."""
        raise RegisterUnavailable("HPR")


def test_an_hpr_that_is_away_costs_no_code(house: House, guest: Guest):
    """Where a claim of the ID token needs HPR the answer is 503, and the same code is good a moment later."""
    laid = lay(house, guest, scopes=("openid", HPR_SCOPE, WARD))
    away = replace(house.services, registers=replace(house.services.registers, hpr=Away()))
    with pytest.raises(Refused) as caught:
        issue_token(judge_token_request(guest.request(form(laid), key=guest.dpop_key), away))
    error = caught.value.error
    assert (error.code, error.status, error.rule) == ("temporarily_unavailable", 503, "ATT-REGISTER")
    assert guest.send(guest.request(form(laid), key=guest.dpop_key))[0] == "ok"


def test_a_client_can_have_a_life_of_its_own_for_refresh_tokens(house: House):
    """``refresh_token_lifetime`` is what the answer says and what the family lives."""
    brief = house.client("brief", refresh_token_lifetime=120)
    laid, body = tokens(house, brief)
    assert body["rt_expires_in"] == body["expires_in"] == 120
    family = family_of(house, laid)
    assert family is not None
    assert family.expires_at == int(house.now()) + 120


class Rival:
    """A store in which somebody else changes the family just before each of the first settlements."""

    def __init__(self, store: Any, laid: Laid, times: int, **change: Any) -> None:
        self._store = store
        self._laid = laid
        self._times = times
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def settle(self, settlement: Settlement) -> None:
        """The rival first, as long as it is their turn."""
        if settlement.puts and self._times:
            self._times -= 1
            key = self._laid.authorized.family
            found = self._store.records.get(FAMILY, key)
            value = {**found.value, "jkt": f"rival-{self._times}", **self._change}
            self._store.settle(Settlement(puts=(Put(FAMILY, key, value),)))
        self._store.settle(settlement)


@pytest.fixture(params=["one server", "two servers"])
def store(request: pytest.FixtureRequest, house: House) -> Any:
    """The store, and as it would be where ids and records lie on two servers."""
    return house.services.store if request.param == "one server" else TwoParts(house.services.store)


@pytest.mark.parametrize(("times", "outcome"), [(1, "ok"), (4, "ok"), (5, "away")])
def test_who_loses_the_race_for_a_family_looks_again(
    times: int, outcome: str, house: House, guest: Guest, store: Any
):
    """A refresh that comes second is judged by what is true then; who never gets a turn hears 503."""
    laid, body = tokens(house, guest)
    services = replace(house.services, store=Rival(store, laid, times))
    try:
        status, answer, _ = issue_token(judge_token_request(refreshing(guest, body), services))
    except StorageUnavailable:
        assert outcome == "away"
    else:
        assert (outcome, status, answer["refresh_token"]) == ("ok", 200, body["refresh_token"])


def test_who_loses_to_a_revocation_gets_nothing(house: House, guest: Guest):
    """A login that was revoked between looking and settling gives no token any more."""
    laid, body = tokens(house, guest)
    services = replace(house.services, store=Rival(house.services.store, laid, 1, revoked=True))
    with pytest.raises(Refused) as caught:
        issue_token(judge_token_request(refreshing(guest, body), services))
    assert caught.value.error.code == "invalid_grant"


def test_a_revocation_that_loses_a_race_is_done(house: House, guest: Guest, store: Any):
    """A login that is given up while somebody refreshes has ended when that is said."""
    laid, body = tokens(house, guest)
    services = replace(house.services, store=Rival(store, laid, 2))
    assert (
        revoke(guest.request({"token": body["refresh_token"]}, path="/connect/revocation"), services).status
        == 200
    )
    family = family_of(house, laid)
    assert family is not None
    assert family.revoked


def test_a_login_is_ended_even_while_it_is_being_changed(house: House, guest: Guest, store: Any):
    """A code that comes back ends its family though others write it at the same time."""
    laid, _ = tokens(house, guest)
    services = replace(house.services, store=Rival(store, laid, 3))
    with pytest.raises(Refused):
        judge_token_request(guest.request(form(laid), key=guest.dpop_key), services)
    family = family_of(house, laid)
    assert family is not None
    assert family.revoked


class Spent:
    """A store in which the request's assertion turns out to be spent when it is settled."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def settle(self, settlement: Settlement) -> None:
        """Too late."""
        raise Conflict(settlement.claims[0].space)


def test_a_replay_proves_nothing_against_anybody(house: House, guest: Guest):
    """A used code in a request that is itself a replay is ``invalid_client``, and the login lives on."""
    laid, _ = tokens(house, guest)
    services = replace(house.services, store=Spent(house.services.store))
    with pytest.raises(Refused) as caught:
        judge_token_request(guest.request(form(laid), key=guest.dpop_key), services)
    assert caught.value.error.code == "invalid_client"
    family = family_of(house, laid)
    assert family is not None
    assert not family.revoked


def test_a_family_ends_by_itself(house: House, guest: Guest):
    """A minute after its end, whatever has been written to it; what comes later is refused as unknown."""
    laid, body = tokens(house, guest)
    used, other = tokens(house, guest)
    assert guest.send(refreshing(guest, other))[0] == "ok"
    house.wait(28_860)
    assert family_of(house, laid) is not None
    assert family_of(house, used) is not None
    house.wait(1)
    assert family_of(house, laid) is None
    assert family_of(house, used) is None
    assert guest.send(refreshing(guest, body))[0] == "invalid_grant"
    assert guest.send(guest.request(form(laid), key=guest.dpop_key))[0] == "invalid_grant"


def test_an_ended_login_ends_by_itself_too(house: House, guest: Guest):
    """A family that was revoked is remembered as long as one that was not, and no longer."""
    laid, body = tokens(house, guest)
    about = {"token": body["refresh_token"]}
    assert revoke(guest.request(about, path="/connect/revocation"), house.services).status == 200
    reused, _ = tokens(house, guest)
    assert guest.send(guest.request(form(reused), key=guest.dpop_key))[0] == "invalid_grant"
    for family in (family_of(house, laid), family_of(house, reused)):
        assert family is not None
        assert family.revoked
    house.wait(28_861)
    assert family_of(house, laid) is None
    assert family_of(house, reused) is None


def test_nothing_of_a_login_lies_for_ever(tmp_path: Path):
    """Records without an end are those of the installation and its clients; all else has one within two days."""
    new = House(tmp_path)
    guest = new.client("guest")
    _, body = tokens(new, guest)
    guest.send(refreshing(guest, body))
    for token in (body["access_token"], body["refresh_token"]):
        revoke(guest.request({"token": token}, path="/connect/revocation"), new.services)
    path = str(tmp_path / "data" / "tillit.sqlite")
    with sqlite3.connect(path) as file:
        lasting = {kind for (kind,) in file.execute("SELECT kind FROM record WHERE until IS NULL")}
        ends = [
            file.execute(f"SELECT max(until) FROM {table}").fetchone()[0]
            for table in ("record", "ticket", "once")
        ]
    new.close()
    assert lasting == {"audit-month", "client", "ring"}
    assert max(ends) <= new.now() + 2 * DAY
