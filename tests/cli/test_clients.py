"""`tillit clients`: what is said there holds in every worker within a second, and bad input is told in a line."""

import json
import time
from typing import Any

import pytest

from support.ehr import Ehr
from support.service import PHR, Service
from support.shell import Shell, one_line
from tillit.protocol.jose import SigningKey, generate_key, private_jwk

ENTERPRISE, OTHER_ENTERPRISE, UNIT = "310000019", "314200772", "311540025"
WITHIN = 1.0
KEY = generate_key("ES256")


def added(client_id: str, jwks: str, *more: str) -> tuple[str, ...]:
    """The command that registers a client of one enterprise for one scope."""
    return (*("clients", "add", "--id", client_id, "--jwks", jwks), "--legal-entity", ENTERPRISE, *more)


def sweep(service: Service, client_id: str, key: SigningKey) -> set[bool]:
    """Ask over eight connections, so that every worker is asked, whether it lets a client in."""
    ehr = Ehr(service, client_id, key)
    return {ehr.send(ehr.form(ehr.assertion()), None).status != 401 for _ in range(8)}


def known_everywhere(service: Service, client_id: str, key: SigningKey, *, known: bool) -> bool:
    """Whether all workers come to agree; a round of questions begun after a second must have one answer."""
    changed = time.monotonic()
    while True:
        late = time.monotonic() - changed > WITHIN
        if sweep(service, client_id, key) == {known}:
            return True
        if late:
            return False


def test_a_new_client_is_known_in_every_worker_within_a_second(shell: Shell):
    """A client is registered with a JWK while the service runs, and lets itself in everywhere a second later."""
    assert sweep(shell.service, "cli-new", KEY) == {False}
    done = shell.operate(*added("cli-new", shell.file(dict(KEY.public.jwk)), "--scope", PHR))
    assert done.stdout == "cli-new: registered (fapi2, 1 key(s))\n"
    assert known_everywhere(shell.service, "cli-new", KEY, known=True)


def test_a_client_is_disabled_and_enabled_in_every_worker_within_a_second(shell: Shell):
    """A disabled client is turned away everywhere a second later, and let in again once it is enabled."""
    shell.service.add_client("cli-switch", KEY)
    assert known_everywhere(shell.service, "cli-switch", KEY, known=True)
    assert shell.operate("clients", "disable", "--id", "cli-switch").stdout == "cli-switch: disabled\n"
    assert known_everywhere(shell.service, "cli-switch", KEY, known=False)
    listed = shell.operate("clients", "list").stdout.splitlines()
    assert [line.split()[-1] for line in listed if line.startswith("cli-switch ")] == ["disabled"]
    assert shell.operate("clients", "enable", "--id", "cli-switch").stdout == "cli-switch: enabled\n"
    assert known_everywhere(shell.service, "cli-switch", KEY, known=True)


def test_an_id_is_registered_once_unless_replaced(shell: Shell):
    """A second registration exits 1 and changes nothing; ``--replace`` brings new keys, and the old are refused."""
    jwks = shell.file({"keys": [dict(KEY.public.jwk)]})
    shell.operate(*added("cli-once", jwks))
    said = one_line(shell.operate(*added("cli-once", jwks), exit_code=1))
    assert said == "clients: cli-once is registered; --replace registers it anew"
    new = generate_key("ES384")
    shell.operate(*added("cli-once", shell.file({"keys": [dict(new.public.jwk)]}), "--replace"))
    assert known_everywhere(shell.service, "cli-once", new, known=True)
    assert known_everywhere(shell.service, "cli-once", KEY, known=False)


def test_everything_that_is_registered_can_be_read_again(shell: Shell):
    """Tenancy, enterprises, units, supplier, profile, scopes and keys are printed by ``add`` and by ``list``."""
    keys = [dict(generate_key(alg).public.jwk) for alg in ("ES256", "EdDSA")]
    done = shell.operate(
        *added("cli-multi", shell.file({"keys": keys}), "--legal-entity", OTHER_ENTERPRISE),
        *("--tenancy", "multi", "--child", UNIT, "--supplier", OTHER_ENTERPRISE, "--profile", "helseid"),
        *("--scope", f"{PHR} nhn:selvbetjening/client", "--name", "Nordfjell", "--require-typ"),
        *("--redirect-uri", "https://ehr.example/callback", "--output", "json", "--native"),
        *("--post-logout-redirect-uri", "https://ehr.example/bye", "--audience", "example:ward"),
        *("--sector-identifier", "nordfjell", "--id-token-alg", "PS256", "--rotate-refresh-tokens"),
        *("--refresh-token-lifetime", "3600", "--require-signed-request-object"),
    )
    record = json.loads(done.stdout)
    assert [key["kid"] for key in record["keys"]] == [key["kid"] for key in keys]
    expected = {
        "id": "cli-multi",
        "name": "Nordfjell",
        "tenancy": "multi",
        "legal_entities": [ENTERPRISE, OTHER_ENTERPRISE],
        "children": [UNIT],
        "supplier": OTHER_ENTERPRISE,
        "profile": "helseid",
        "scopes": [PHR, "nhn:selvbetjening/client"],
        "grants": ["client_credentials"],
        "redirect_uris": ["https://ehr.example/callback"],
        "post_logout_redirect_uris": ["https://ehr.example/bye"],
        "native": True,
        "audiences": ["example:ward"],
        "sector_identifier": "nordfjell",
        "id_token_signed_response_alg": "PS256",
        "refresh_token_lifetime": 3600,
        "rotate_refresh_tokens": True,
        "require_signed_request_object": True,
        "require_typ": True,
        "attests_without_login": False,
        "disabled": False,
    }
    assert {name: record[name] for name in expected} == expected
    listed = json.loads(shell.operate("clients", "list", "--output", "json").stdout)
    assert [client for client in listed if client["id"] == "cli-multi"] == [record]


PUBLIC = dict(KEY.public.jwk)
BAD: dict[str, tuple[Any, tuple[str, ...], int, str]] = {
    "private key": (private_jwk(KEY), (), 1, "keys[0].jwk.d"),
    "weak key": ({"kty": "RSA", "n": "u1W", "e": "AQAB"}, (), 1, "keys[0]"),
    "no keys": ({"keys": []}, (), 1, "keys"),
    "not a key set": ([PUBLIC], (), 2, "a JWK or a JWKS needed"),
    "not JSON": (b"-----BEGIN", (), 2, "not valid JSON"),
    "a member twice": (b'{"keys":[],"keys":[]}', (), 2, "duplicate member"),
    "unknown scope": (PUBLIC, ("--scope", "nhn:phr/nothing"), 1, "nhn:phr/nothing is in no API"),
    "not a scope": (PUBLIC, ("--scope", 'a"b'), 1, "scope"),
    "not an organisation number": (PUBLIC, ("--legal-entity", "31000001x", "--tenancy", "multi"), 1, "nine"),
    "two enterprises of a single tenant": (PUBLIC, ("--legal-entity", OTHER_ENTERPRISE), 1, "exactly one"),
    "not a supplier's number": (PUBLIC, ("--supplier", "3100000190"), 1, "nine digits"),
    "a login without a way back": (
        PUBLIC,
        ("--grant", "authorization_code"),
        1,
        "redirect_uris: one or more",
    ),
    "a way back that goes astray": (PUBLIC, ("--redirect-uri", "https://*.example/"), 1, "redirect_uris[0]"),
    "a way back without TLS": (PUBLIC, ("--post-logout-redirect-uri", "http://a.example/"), 1, "https"),
    "an API that nobody knows": (PUBLIC, ("--audience", "nhn:nothing"), 1, "audiences: nhn:nothing"),
    "an algorithm that is not enabled": (
        PUBLIC,
        ("--grant", "authorization_code", "--redirect-uri", "https://a.example/", "--id-token-alg", "HS256"),
        1,
        "id_token_signed_response_alg",
    ),
    "an id like a user's": (PUBLIC, ("--id", "abc="), 1, "id: 1 to 64"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_line(name: str, shell: Shell):
    """A registration that cannot be is refused with one readable line that names the member at fault."""
    document, more, exit_code, told = BAD[name]
    done = shell.operate(*added("cli-bad", shell.file(document), *more), exit_code=exit_code)
    assert told in one_line(done)


def test_nobody_can_be_disabled_who_is_not_registered(shell: Shell):
    """An unknown id exits 1 with a line, and a key file that is not there exits 2."""
    done = shell.operate("clients", "disable", "--id", "cli-nobody", exit_code=1)
    assert one_line(done) == "clients: cli-nobody is not registered"
    done = shell.operate(*added("cli-nobody", str(shell.home / "missing.json")), exit_code=2)
    assert one_line(done).endswith("missing.json: cannot be read (FileNotFoundError)")
