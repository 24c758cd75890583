"""Keys that are published no longer: listed as an archive, good for hints, never for tokens."""

from tillit_server.signing.keyring import Policy

DAY = 86_400


def test_nothing_is_archived_at_the_start(start_signer, clock) -> None:
    """A new installation has no past, and its hints verify with what is published."""
    service = start_signer("ES256")
    assert service.expired_jwks(clock()) == {"keys": []}
    assert {key.kid for key in service.unrevoked()} == {key.kid for key in service.verification_keys(clock())}


def test_a_key_that_is_gone_is_archived(start_signer, clock, ticks) -> None:
    """Marked as an archive, with the instant it was gone, public members only; it still reads old hints."""
    service = start_signer("ES256", policy=Policy())
    first = service.jwks(clock())["keys"][0]
    for _ in range(40):
        clock.pass_(10 * DAY)
        ticks.pass_(5)
        service.sign("at+jwt", {}, "ES256")
    archived = {key["kid"]: key for key in service.expired_jwks(clock())["keys"]}
    published = {key["kid"] for key in service.jwks(clock())["keys"]}
    assert archived
    assert not published & set(archived)
    found = archived[first["kid"]]
    assert found.pop("archive") is True
    assert found.pop("exp") < clock()
    assert found == first
    assert first["kid"] in {key.kid for key in service.unrevoked()}
    assert first["kid"] not in {key.kid for key in service.verification_keys(clock())}
