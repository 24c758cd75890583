"""Private keys of our own: made, written and read, and never shown."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.tokens import key_for
from tillit.protocol.errors import Rejected
from tillit.protocol.jose import (
    ALGORITHMS,
    generate_key,
    load_private_der,
    load_private_jwk,
    load_private_pem,
    private_der,
    private_jwk,
    private_pem,
    sign,
    thumbprint,
)

ALL = (*ALGORITHMS, "RS256")


@pytest.mark.parametrize("alg", ALL)
def test_a_key_survives_every_form(alg):
    """JWK, PEM and DER, encrypted or not, give the same key back."""
    key = key_for(alg)
    assert load_private_jwk(private_jwk(key)) == key
    assert load_private_pem(private_pem(key, None), alg, kid=key.kid) == key
    assert (
        load_private_pem(private_pem(key, b"a long passphrase"), alg, b"a long passphrase", kid=key.kid)
        == key
    )
    assert load_private_der(private_der(key), alg, kid=key.kid) == key
    assert load_private_der(private_der(key, b"pw"), alg, b"pw", kid=key.kid) == key
    assert load_private_der(private_der(key), alg, kid=key.kid, ours=True) == key


@pytest.mark.parametrize("alg", ALL)
def test_key_material_is_never_shown(alg):
    """The representation of a key, public or private, shows names only."""
    key = key_for(alg)
    secrets = [value for name, value in private_jwk(key).items() if name in {"d", "p", "q", "dp", "dq", "qi"}]
    for shown in (repr(key), str(key), f"{key}"):
        assert not any(secret in shown for secret in secrets)
        assert "PRIVATE" not in shown
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(key.public.jwk)


def test_the_name_of_a_new_key_is_its_thumbprint():
    """Without a kid a key is called by its RFC 7638 thumbprint."""
    key = generate_key("ES256")
    assert key.kid == key.public.kid == key.public.thumbprint == thumbprint(key.public.jwk)
    assert generate_key("ES256", "mine").kid == "mine"


def test_what_a_jwks_publishes():
    """Every published key has kid, use and alg beside the members that make it."""
    assert set(key_for("ES256").public.jwk) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert set(key_for("PS256").public.jwk) == {"kty", "n", "e", "kid", "use", "alg"}
    assert set(key_for("EdDSA").public.jwk) == {"kty", "crv", "x", "kid", "use", "alg"}


@pytest.mark.parametrize("alg", ["HS256", "none", "RS384", ""])
def test_no_key_for_other_algorithms(alg):
    """Keys are made and loaded for our algorithms only."""
    with pytest.raises(Rejected):
        generate_key(alg)
    with pytest.raises(Rejected):
        load_private_pem(private_pem(key_for(), None), alg)


@pytest.mark.parametrize("alg", ["ES256", "PS256", "EdDSA"])
def test_both_halves_belong_together(alg):
    """A private JWK whose public half is another key's is refused."""
    one, two = private_jwk(key_for(alg)), private_jwk(key_for(alg, 1))
    for name in {"x", "n"} & set(one):
        with pytest.raises(Rejected):
            load_private_jwk(one | {name: two[name]})
    with pytest.raises(Rejected):
        load_private_jwk(one | {"d": two["d"]})
    with pytest.raises(Rejected):
        load_private_jwk({name: value for name, value in one.items() if name != "d"})


def test_the_algorithm_of_a_private_jwk():
    """A named algorithm wins, then the JWK's own, then the curve's; RSA without one signs PS256."""
    bare = {name: value for name, value in private_jwk(key_for("RS256")).items() if name != "alg"}
    assert load_private_jwk(bare).alg == "PS256"
    assert load_private_jwk(bare, "PS512").alg == "PS512"
    curve = {name: value for name, value in private_jwk(key_for("ES384")).items() if name != "alg"}
    assert load_private_jwk(curve).alg == "ES384"
    with pytest.raises(Rejected):
        load_private_jwk(curve, "ES256")
    assert load_private_jwk(private_jwk(key_for("ES256")) | {"key_ops": ["sign"]}).alg == "ES256"


@pytest.mark.parametrize(
    "data", [b"", b"not PEM", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_unreadable_files_are_refused(data):
    """A file that is no key, or a wrong passphrase, is a refusal without detail."""
    with pytest.raises(Rejected, match="cannot be read"):
        load_private_pem(data, "ES256")
    with pytest.raises(Rejected, match="cannot be read"):
        load_private_der(data, "ES256")
    with pytest.raises(Rejected, match="cannot be read"):
        load_private_pem(private_pem(key_for(), b"right"), "ES256", b"wrong")


def test_only_what_we_wrote_ourselves_is_not_tried_again():
    """The numbers of an RSA key from elsewhere are tried; those of a key that was sealed by us are not."""
    sound = key_for("PS256").material.private_numbers()
    odd = rsa.RSAPrivateNumbers(
        *(sound.p, sound.q, sound.d + 2, sound.dmp1, sound.dmq1, sound.iqmp, sound.public_numbers)
    ).private_key(unsafe_skip_rsa_key_validation=True)
    data = odd.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(Rejected, match="cannot be read"):
        load_private_der(data, "PS256")
    assert load_private_der(data, "PS256", ours=True).public.thumbprint == key_for("PS256").public.thumbprint


def test_a_kid_stays_out_where_the_key_itself_is_in():
    """A header with a jwk gets no kid beside it."""
    key = key_for()
    assert (
        '"kid"'
        not in __import__("base64")
        .urlsafe_b64decode(sign({"jwk": key.public.bare_jwk}, {}, key).split(".")[0] + "==")
        .decode()
    )
