"""S9: yesterday's backup is put back, or two deployments share a Redis: nothing that ended is good again."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.granted import grant, introspect, login_client, revoke
from support.postgres import Postgres
from support.recovery import BY, NOW, Home
from support.redis_server import RedisServer, redis_server
from support.redis_stores import open_spending
from support.service import Service, run_cli
from support.stores import START, Halves, open_store
from tillit_server.recovery.backing_up import back_up
from tillit_server.storage.ports import Claim, Conflict, Issue, Redemption, Settlement
from tillit_server.storage.spending import AHEAD

INACTIVE = {"active": False}


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def request(ehr: SwiftEhr, **claims: Any) -> tuple[dict[str, str], str]:
    """A request for a token, to be sent more than once."""
    return ehr.form(ehr.assertion(**claims), scope=SELF_SERVICE), ehr.proof()


def test_s9_over_http(tmp_path: Path):
    """After yesterday's backup: no replay, no refresh, no revoked or disabled thing works; what is new does."""
    service = Service(tmp_path / "data", workers=1)
    with service:
        behind = Backstage(service)
        ehr, shut, users = behind.client(), behind.client(), login_client(behind)
        granted = grant(behind, users)
        back_up(behind.installation, tmp_path / "backup", **BY)
        spent = request(ehr, exp=int(service.now()) + 60)
        token = ehr.send(*spent).json["access_token"]
        assert introspect(ehr, token).json["active"] is True
        theirs = shut.token(scope=SELF_SERVICE).json["access_token"]
        assert revoke(ehr, token).status == 200
        assert revoke(users, granted.refresh_token()).status == 200
        behind.set_disabled(shut.client_id, disabled=True)
        behind.close()
    done = run_cli("restore", str(tmp_path / "backup"), "--data", str(service.data), "--replace", *OF)
    assert f"client {shut.client_id}: disabled" in done.stdout
    # So far, that only what the fence refuses could still be refused.
    service.set_clock(offset=AHEAD + 2)
    with service:
        assert ehr.send(*spent).error == "invalid_client"
        for asker, given in ((ehr, token), (ehr, theirs), (users, granted.refresh_token())):
            assert introspect(asker, given).json == INACTIVE
        form = users.form(
            users.assertion(), grant_type="refresh_token", refresh_token=granted.refresh_token(), scope=...
        )
        assert users.send(form, users.proof()).error == "invalid_grant"
        assert shut.token(scope=SELF_SERVICE).error == "invalid_client"
        ehr.forget_nonce()
        fresh = ehr.token(scope=SELF_SERVICE).json["access_token"]
        assert introspect(ehr, fresh).json["active"] is True
    verified = run_cli("audit", "verify", "--data", str(service.data), check=False).stdout
    assert re.search(r"^restored at 20", verified, re.MULTILINE)


OF = ("--operator", "kari", "--reason", "case 4714")


def test_s9_redis_that_kept_running(postgres: Postgres, redis: RedisServer, tmp_path: Path):
    """The database is put back while Redis knows newer things: a new epoch, and its fence, begin all the same."""
    home = Home(tmp_path, postgres.migrated_database(), redis.url)
    with home.opened() as installation:
        store = installation.services.store
        store.settle(Settlement(claims=(Claim("proof", "before", NOW + 60, made=NOW),)))
    home.back_up()
    with home.opened() as installation:
        store = installation.services.store
        store.settle(
            Settlement(
                claims=(Claim("proof", "after", NOW + 60, made=NOW),),
                issues=(Issue("session", "s", {}, NOW + 3600),),
            )
        )
    home.restore(over=True)
    with home.opened() as installation:
        installation.services.store.ping()
    home.at(NOW + AHEAD + 2)
    with home.opened() as installation:
        store = installation.services.store
        for name in ("before", "after", "another"):
            with pytest.raises(Conflict, match=r"forgotten|spent"):
                store.settle(Settlement(claims=(Claim("proof", name, NOW + 60, made=NOW),)))
        assert store.tickets.peek("session", "s") is None
        with pytest.raises(Conflict, match="forgotten"):
            store.settle(Settlement(redemptions=(Redemption("session", "s"),)))
        new = Settlement(claims=(Claim("proof", "new", NOW + 90, made=NOW + AHEAD + 1),))
        store.settle(new)
        with pytest.raises(Conflict, match="spent"):
            store.settle(new)


def test_s9_two_deployments_on_one_redis(redis: RedisServer, tmp_path: Path):
    """With the same names and the same secrets they do not meet: ids, tickets and fences are each one's own."""
    issuers = ("https://one.example.test", "https://two.example.test")
    with closing(open_store(tmp_path / "1.sqlite")) as one, closing(open_store(tmp_path / "2.sqlite")) as two:
        place = Halves(redis.url, tmp_path / "unused")
        halves = [
            open_spending(place, lasting.records, issuer=issuer, fresh=True)
            for issuer, lasting in zip(issuers, (one, two), strict=True)
        ]
        for half in halves:
            half.spend(
                [Claim("proof", "p", START + 60, made=START)], issues=[Issue("code", "c", 1, START + 60)]
            )
        with pytest.raises(Conflict, match="spent"):
            halves[0].spend([Claim("proof", "p", START + 60, made=START)])
        halves[0].spend(redemptions=[Redemption("code", "c")])
        assert halves[1].tickets.peek("code", "c").redeemed is False
        names = set(redis.client.scan_iter())
        assert all(any(name.startswith(f"tillit:{issuer}:") for issuer in issuers) for name in names)
        redis.client.delete(*[name for name in names if issuers[0] in name])
        with pytest.raises(Conflict, match="forgotten"):
            halves[0].spend([Claim("proof", "q", START + 60, made=START - 1)])
        halves[1].spend([Claim("proof", "q", START + 60, made=START - 1)])
        for half in halves:
            half.close()
