"""Published examples, row J19: reproduced octet by octet where deterministic, verified where not."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from support.tokens import b64, compact, key_for
from tillit.protocol.authorization_details import of_type, read_details
from tillit.protocol.challenge import parse_challenge
from tillit.protocol.client_assertion import read_assertion
from tillit.protocol.dpop import access_token_hash, check_proof, make_proof
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import read_compact, read_jws
from tillit.protocol.jose import (
    ALGORITHMS,
    load_private_jwk,
    load_public_jwk,
    load_public_jwks,
    private_jwk,
    sign_bytes,
    thumbprint,
    verify_bytes,
)
from tillit.protocol.request_object import check_request_object, make_request_object

FOLDER = Path(__file__).parents[1] / "vectors" / "rfc"
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
ALL = (*ALGORITHMS, "RS256")


def vectors(rfc: int) -> Any:
    return json.loads((FOLDER / f"rfc{rfc}.json").read_text("utf-8"))


def public(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in PRIVATE}


def each(rfc: int, *algs: str) -> list[Any]:
    return [pytest.param(v, id=v["section"]) for v in vectors(rfc)["vectors"] if v["alg"] in algs]


def test_every_file_says_where_it_is_from():
    """Each vector file names its origin."""
    files = sorted(FOLDER.glob("*.json"))
    assert len(files) == 7
    assert all("RFC" in json.loads(file.read_text("utf-8"))["origin"] for file in files)


@pytest.mark.parametrize(
    "vector", [*each(7515, "RS256", "ES256", "ES512"), *each(7520, "RS256", "PS384", "ES512")]
)
def test_j19_signed_examples_verify(vector):
    """RFC 7515 A.2 to A.4 and RFC 7520 4.1 to 4.3 verify with the keys printed there."""
    header, payload, signing_input, signature = read_compact(vector["compact"])
    key = load_public_jwk(public(vector["key"]), algorithms=ALL)
    assert header["alg"] == vector["alg"]
    assert verify_bytes(signing_input, signature, key, vector["alg"])
    assert not verify_bytes(signing_input + b"x", signature, key, vector["alg"])
    assert payload


@pytest.mark.parametrize("vector", [*each(7515, "RS256"), *each(7520, "RS256")])
def test_j19_deterministic_examples_are_reproduced(vector):
    """RSASSA-PKCS1-v1_5 examples come out octet by octet."""
    key = load_private_jwk(vector["key"], "RS256")
    signing_input = vector["compact"].rpartition(".")[0]
    assert f"{signing_input}.{b64(sign_bytes(signing_input.encode(), key))}" == vector["compact"]


@pytest.mark.parametrize("vector", [*each(7515, "ES256", "ES512"), *each(7520, "ES512", "PS384")])
def test_j19_private_example_keys_sign(vector):
    """Keys of the other examples make new signatures that their public halves verify."""
    key = load_private_jwk(vector["key"], vector["alg"])
    assert verify_bytes(b"x", sign_bytes(b"x", key), key.public, vector["alg"])
    assert private_jwk(key).items() >= {name: vector["key"][name] for name in ("kty", "d")}.items()


def test_j19_payload_of_the_standard_examples():
    """The claims of RFC 7515 appendix A are read, carriage returns and all; the cookbook's text is no JWT."""
    a2, a3 = (v["compact"] for v in vectors(7515)["vectors"] if v["section"] in {"A.2", "A.3"})
    for token in (a2, a3):
        assert read_jws(token).claims == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
    for vector in vectors(7520)["vectors"][:3]:
        assert read_compact(vector["compact"])[1].decode() == vectors(7520)["payload"]
        with pytest.raises(Rejected):
            read_jws(vector["compact"])


@pytest.mark.parametrize("vector", [*each(7515, "HS256", "none", "json"), *each(7520, "HS256")])
def test_j19_examples_we_do_not_take(vector):
    """The examples with HMAC, without signature and in JSON serialization are refused by the gate."""
    with pytest.raises(Rejected):
        read_compact(vector["compact"])


def test_j19_json_serialization_of_the_cookbook():
    """The flattened forms of RFC 7520 are refused too."""
    for vector in vectors(7520)["vectors"]:
        with pytest.raises(Rejected):
            read_jws(json.dumps(vector["flattened"]))


def test_j19_key_sets_of_rfc_7517():
    """A.1 gives one signature key (the other is for encryption); A.2 and A.3 are refused as private."""
    document = vectors(7517)
    (key,) = load_public_jwks({"keys": document["public"]}, algorithms=ALL, skip_unusable=True)
    assert (key.kid, key.alg, key.kty) == ("2011-04-29", "RS256", "RSA")
    with pytest.raises(Rejected, match="not for signatures"):
        load_public_jwks({"keys": document["public"]}, algorithms=ALL)
    for name in ("private", "symmetric"):
        for jwk in document[name]:
            with pytest.raises(Rejected, match="private or symmetric"):
                load_public_jwks({"keys": [jwk]}, skip_unusable=True)
    private = load_private_jwk(document["private"][1])
    assert (private.public, private.alg) == (key, "RS256")


def test_j19_a_key_with_a_certificate():
    """RFC 7517 appendix B: the certificate beside a key in a set is not looked at."""
    key = load_public_jwk(vectors(7517)["with_certificate"])
    assert key.kid == "1b94c"
    assert "x5c" not in key.jwk


def test_j19_thumbprints():
    """RFC 7638 section 3.1, RFC 8037 A.3 and RFC 9449 section 6.1 give the printed thumbprints."""
    document = vectors(7517)
    assert [thumbprint(jwk) for jwk in document["public"]] == document["thumbprints"]
    assert document["thumbprints"][1] == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert thumbprint(vectors(8037)["jwk"]) == vectors(8037)["thumbprint"]
    assert thumbprint(vectors(9449)["jwk"]) == vectors(9449)["jkt"]
    members = json.dumps(vectors(9449)["jwk"], sort_keys=True, separators=(",", ":"))
    assert b64(hashlib.sha256(members.encode()).digest()) == vectors(9449)["jkt"]


def test_j19_ed25519_is_reproduced():
    """RFC 8037 A.4 comes out octet by octet, and A.5 verifies."""
    example = vectors(8037)
    key = load_private_jwk(example["jwk"])
    text = f"{b64(example['header'].encode())}.{b64(example['payload'].encode())}"
    assert f"{text}.{b64(sign_bytes(text.encode(), key))}" == example["compact"]
    _, payload, signing_input, signature = read_compact(example["compact"])
    assert payload.decode() == example["payload"]
    assert verify_bytes(signing_input, signature, key.public, "EdDSA")


@pytest.mark.parametrize("name", ["token_request", "resource_request"])
def test_j19_proofs_of_rfc_9449(name):
    """The proofs of figures 2 and 12 are accepted, and their claims reproduced octet by octet."""
    example = vectors(9449)[name]
    token = example.get("access_token")
    taken = check_proof(
        [example["proof"]],
        method=example["method"],
        url=example["url"],
        now=example["iat"],
        access_token=token,
        expected_jkt=vectors(9449)["jkt"],
    )
    assert (taken.jti, taken.iat, taken.jkt) == (example["jti"], example["iat"], vectors(9449)["jkt"])
    ours = make_proof(
        key_for(),
        example["method"],
        example["url"],
        now=example["iat"],
        jti=example["jti"],
        access_token=token,
    )
    assert ours.split(".")[1] == example["proof"].split(".")[1]
    if token is not None:
        assert access_token_hash(token) == example["ath"]


def test_j19_the_proof_of_one_request_is_none_for_another():
    """Figure 2's proof does not open figure 12's resource."""
    with pytest.raises(OAuthError, match="invalid_dpop_proof"):
        check_proof(
            [vectors(9449)["token_request"]["proof"]],
            method="GET",
            url=vectors(9449)["resource_request"]["url"],
            now=1562262618,
        )


def test_j19_challenges_of_rfc_9449():
    """The challenges of sections 7.1 and 9 are read into their attributes."""
    first, second, third = (parse_challenge(text)[0] for text in vectors(9449)["challenges"])
    assert (first.scheme, first.error, first.attributes["algs"]) == ("DPoP", None, "ES256 PS256")
    assert (second.error, second.attributes["error_description"]) == (
        "invalid_token",
        "Invalid DPoP key binding",
    )
    assert third.error == "use_dpop_nonce"


def test_j19_pushed_request_of_rfc_9126():
    """The example's parameters travel in a request object and come back as they were."""
    example = vectors(9126)
    token = make_request_object(
        key_for(), example["client_id"], example["issuer"], example["parameters"], now=1625869600
    )
    taken = check_request_object(
        token,
        keys=[key_for().public],
        client_id=example["client_id"],
        issuer=example["issuer"],
        now=1625869600,
    )
    assert taken.parameters == example["parameters"] | {"client_id": example["client_id"]}
    text = compact({"alg": "RS256"}, example["client_assertion_claims"])
    assert read_assertion(text).unverified_client_id == example["client_id"]


@pytest.mark.parametrize("name", ["one", "two"])
def test_j19_details_of_rfc_9396(name):
    """The arrays of figures 1 and 2 are read as they stand, as an array and as JSON in a string."""
    details = vectors(9396)[name]
    assert read_details(details, known=None) == tuple(details)
    assert read_details(json.dumps(details), known=None) == tuple(details)
    assert of_type(details, "payment_initiation") == details[-1]
    with pytest.raises(OAuthError, match="unknown type"):
        read_details(details)
