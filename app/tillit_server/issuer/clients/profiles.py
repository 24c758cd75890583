"""What a client may deviate in, as data: one profile per client, one named tolerance per deviation.

``fapi2`` is the default and knows no tolerance. ``helseid`` holds what the national service's current
client libraries need, ``legacy`` what its oldest samples need. The strict path never asks which profile
it runs under; it is handed these values.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tillit.protocol.client_assertion import STRICT, AssertionProfile
from tillit.protocol.jose import ALGORITHMS
from tillit.protocol.request_object import STRICT as STRICT_REQUEST
from tillit.protocol.request_object import RequestProfile


@dataclass(frozen=True, slots=True)
class Profile:
    """How one kind of client authenticates, asks for authorization and binds its tokens.

    ``merged_request_object``: parameters beside a request object count too. ``front_channel``: authorization
    requests without PAR. ``empty_basic_header``: a Basic header without a secret, beside an assertion, is
    overlooked. ``development_only``: an installation in production registers no such client.
    """

    name: str
    assertion: AssertionProfile = STRICT
    algorithms: tuple[str, ...] = ALGORITHMS
    dpop_required: bool = True
    lenient_organisation_system: bool = False
    request_object: RequestProfile = STRICT_REQUEST
    merged_request_object: bool = False
    front_channel: bool = False
    pkce_required: bool = True
    empty_basic_header: bool = False
    development_only: bool = False


_HELSEID = AssertionProfile(
    one_element_audience=True,
    trailing_slash_audience=True,
    string_iat=True,
    legacy_authorization_details=True,
)
_LEGACY = AssertionProfile(
    one_element_audience=True,
    trailing_slash_audience=True,
    token_endpoint_audience=True,
    string_iat=True,
    long_lifetime=True,
    legacy_authorization_details=True,
)
_LENIENT_REQUEST = RequestProfile(
    general_typ=True,
    assertion_typ=True,
    missing_client_id=True,
    missing_nbf=True,
    string_iat=True,
    trailing_slash_audience=True,
)

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        profile.name: profile
        for profile in (
            Profile("fapi2"),
            Profile(
                "helseid",
                assertion=_HELSEID,
                lenient_organisation_system=True,
                request_object=_LENIENT_REQUEST,
                merged_request_object=True,
            ),
            Profile(
                "legacy",
                assertion=_LEGACY,
                algorithms=(*ALGORITHMS, "RS256"),
                dpop_required=False,
                lenient_organisation_system=True,
                request_object=_LENIENT_REQUEST,
                merged_request_object=True,
                front_channel=True,
                pkce_required=False,
                empty_basic_header=True,
                development_only=True,
            ),
        )
    }
)
