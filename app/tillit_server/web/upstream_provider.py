"""One identity provider: our requests to it, and what we believe of its answers."""

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import FlaskOAuth2App, OAuth
from authlib.integrations.requests_client import OAuth2Session

from tillit.attestation.identifiers import Kind, person_number_kind
from tillit.outbound.documents import fetch_metadata
from tillit.outbound.published import Published, Unavailable
from tillit.outbound.transport import TransportError, require_safe_url
from tillit.protocol.claims import MAX_AHEAD
from tillit.protocol.client_assertion import ASSERTION_TYPE, make_assertion
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import GATE_ALGORITHMS
from tillit.protocol.id_token import IdToken, check_id_token
from tillit.verifier.issuer_keys import IssuerKeys
from tillit_server.issuer.login.browser import LogIn
from tillit_server.issuer.login.idps import Idp
from tillit_server.issuer.services import Services
from tillit_server.issuer.users import User
from tillit_server.storage.ports import Conflict
from tillit_server.web.upstream_calls import Calls
from tillit_server.web.upstream_state import NO_SESSION, Pending, ProviderAway

AUTH_METHOD: Final = "private_key_jwt"
_RETRY_AFTER: Final = 2.0
_MAX_TEXT: Final = 200
_ERROR: Final = re.compile(r"[a-z_]{1,40}")
# Nothing of the environment goes into our requests: no netrc, no cookie.
_SESSION: Final[Mapping[str, Any]] = {"token_endpoint_auth_method": AUTH_METHOD, "trust_env": False}
_METADATA: Final = ("authorization_endpoint", "token_endpoint", "pushed_authorization_request_endpoint")


class Provider:
    """One provider as seen by one worker. ``callback``: our redirect URI there."""

    def __init__(
        self, idp: Idp, oauth: OAuth, services: Services, callback: str, monotonic: Callable[[], float]
    ) -> None:
        self._idp = idp
        self._services = services
        self._callback = callback
        self._calls = Calls(idp.name)
        send = self._calls.send
        self._metadata: Published[Mapping[str, Any]] = Published(
            lambda: fetch_metadata(send, idp.issuer), clock=monotonic, retry_after=_RETRY_AFTER
        )
        self._keys = IssuerKeys(
            idp.issuer, send=send, clock=monotonic, algorithms=GATE_ALGORITHMS, retry_after=_RETRY_AFTER
        )
        self._client: FlaskOAuth2App = oauth.register(
            idp.name,
            client_id=idp.client_id,
            client_auth_methods=[(AUTH_METHOD, self._authenticate)],
            compliance_fix=self._calls.fit,
            client_kwargs={**_SESSION, "scope": idp.scope, "code_challenge_method": "S256"},
        )
        self._client.framework.expires_in = services.lifetimes.interaction

    def begin(self, login: LogIn) -> str:
        """As ``Upstream.begin``."""
        address, state, remembered = self._calls.within(lambda: self._begun(login))
        self._client.framework.set_state_data(NO_SESSION, state, remembered)
        return address

    def _begun(self, login: LogIn) -> tuple[str, str, Mapping[str, Any]]:
        metadata = self._told()
        request = self._client.create_authorization_url(
            self._callback,
            state=f"{self._idp.name}.{secrets.token_urlsafe(32)}",
            # With max_age a provider has to say when the person logged in (OpenID Connect Core §3.1.2.1).
            **({"prompt": "login", "max_age": "0"} if login.force else {}),
            acr_values=" ".join(self._idp.words_for(login.level)),
            login_hint=login.login_hint,
            ui_locales=" ".join(login.ui_locales),
            **({self._idp.amr_parameter: " ".join(login.amr)} if self._idp.amr_parameter else {}),
        )
        asked = dict(parse_qsl(urlsplit(request["url"]).query))
        del asked["client_id"]  # comes with the client authentication
        pushed = self._push(metadata, asked)
        remembered = {
            "interaction": login.interaction,
            "anew": login.force,
            "nonce": request["nonce"],
            "code_verifier": request["code_verifier"],
        }
        endpoint = metadata["authorization_endpoint"]
        query = urlencode({"client_id": self._idp.client_id, "request_uri": pushed})
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}", request["state"], remembered

    def pending(self, state: str) -> Pending | None:
        """The login that ``state`` belongs to, while it is good."""
        remembered = self._client.framework.get_state_data(NO_SESSION, state)
        return Pending(state, self._idp, remembered["interaction"], remembered) if remembered else None

    def take(self, pending: Pending) -> bool:
        """Whether this is the one request that goes on with ``pending``."""
        try:
            self._client.framework.clear_state_data(NO_SESSION, pending.state)
        except Conflict:
            return False
        return True

    def put_back(self, pending: Pending) -> None:
        """As ``Upstream.put_back``."""
        self._client.framework.set_state_data(NO_SESSION, pending.state, pending.remembered)

    def user(self, pending: Pending, parameters: Mapping[str, str]) -> User:
        """As ``Upstream.user``."""
        return self._calls.within(lambda: self._who(pending, parameters))

    def _who(self, pending: Pending, parameters: Mapping[str, str]) -> User:
        metadata = self._told()
        # RFC 9207 §2.4: a provider that names itself must be the one we asked.
        if parameters.get("iss", self._idp.issuer) != self._idp.issuer or (
            metadata.get("authorization_response_iss_parameter_supported") is True and "iss" not in parameters
        ):
            raise _denied("the answer is not from this provider")
        if "error" in parameters or "code" not in parameters:
            raise _denied(f"the provider answered {_code(parameters.get('error', ''))}")
        token = self._redeem(parameters["code"], pending.remembered["code_verifier"])
        try:
            checked = check_id_token(
                str(token.get("id_token", "")),
                keys=self._keys,
                issuer=self._idp.issuer,
                client_id=self._idp.client_id,
                now=self._services.clock(),
                nonce=pending.remembered["nonce"],
                access_token=token.get("access_token"),
                algorithms=GATE_ALGORITHMS,
                leeway=MAX_AHEAD,
            )
        except Unavailable as error:
            raise ProviderAway(self._idp.name, "keys") from error
        except Rejected as error:
            raise _denied(f"ID token: {error}") from error
        if pending.remembered["anew"] and checked.auth_time is None:
            raise _denied("ID token: no auth_time, where a new login was asked for")
        return self._user(checked)

    def _user(self, token: IdToken) -> User:
        """What the provider says of the person. Number and level are needed, the rest is welcome."""
        names, now = self._idp.claims, self._services.clock()
        pid = _text(token, names["pid"])
        synthetic = self._services.synthetic_identifiers
        if person_number_kind(pid, now=now, synthetic=synthetic) not in {Kind.F_NUMBER, Kind.D_NUMBER}:
            raise _denied("no national identity number")
        level = self._idp.levels.get(_text(token, names["level"]))
        if level is None:
            raise _denied("no security level that is known here")
        amr = token.claims.get("amr")
        return User(
            pid=pid,
            security_level=level,
            idp=self._idp.name,
            auth_time=token.auth_time or token.issued_at,
            amr=tuple(word for word in amr if type(word) is str) if type(amr) is list else (),
            **{
                name: _text(token, names[name])
                for name in ("name", "given_name", "middle_name", "family_name")
            },
        )

    def _told(self) -> Mapping[str, Any]:
        """The provider's metadata, and Authlib told of them. Raises ``ProviderAway``."""
        try:
            metadata = self._metadata.get()
            told = {name: require_safe_url(str(metadata.get(name, ""))) for name in _METADATA}
        except (Unavailable, TransportError) as error:
            raise ProviderAway(self._idp.name, "metadata") from error
        # Nothing else of the document: Authlib would take any member for an argument of its session.
        self._client.server_metadata.update({name: told[name] for name in _METADATA[:2]})
        return metadata

    def _push(self, metadata: Mapping[str, Any], parameters: Mapping[str, str]) -> str:
        session = OAuth2Session(self._idp.client_id, **_SESSION)
        self._calls.fit(session)
        session.register_client_auth_method((AUTH_METHOD, self._authenticate))
        try:
            with session:
                answer = session.post(
                    metadata[_METADATA[2]],
                    data=parameters,
                    auth=session.client_auth(AUTH_METHOD),
                    withhold_token=True,
                    allow_redirects=False,
                )
            pushed = answer.json().get("request_uri")
        except (requests.RequestException, ValueError, AttributeError) as error:
            raise ProviderAway(self._idp.name, f"PAR: {type(error).__name__}") from error
        if type(pushed) is not str or not pushed:
            raise ProviderAway(self._idp.name, f"PAR: HTTP {answer.status_code}")
        return pushed

    def _redeem(self, code: str, verifier: str) -> Mapping[str, Any]:
        try:
            token: Mapping[str, Any] = self._client.fetch_access_token(
                redirect_uri=self._callback, code=code, code_verifier=verifier, allow_redirects=False
            )
        except AuthlibBaseError as error:
            raise _denied(f"token endpoint: {_code(str(error.error))}") from error
        except (requests.RequestException, ValueError) as error:
            raise ProviderAway(self._idp.name, f"token endpoint: {type(error).__name__}") from error
        return token

    def _authenticate(
        self, client: object, method: str, uri: str, headers: object, body: str
    ) -> tuple[str, object, str]:
        """private_key_jwt with our own assertion: its audience is the issuer (rfc7523bis §4)."""
        del client, method
        assertion = make_assertion(
            self._idp.key, self._idp.client_id, self._idp.issuer, now=self._services.clock()
        )
        fields = {
            "client_id": self._idp.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        return uri, headers, f"{body}&{urlencode(fields)}"


def _text(token: IdToken, name: str) -> str:
    value = token.claims.get(name, "")
    return value if type(value) is str and len(value) <= _MAX_TEXT and value.isprintable() else ""


def _code(error: str) -> str:
    """An error code for the log, which no text of a stranger gets into."""
    return error if _ERROR.fullmatch(error) else "something else than a code"


def _denied(detail: str) -> OAuthError:
    return OAuthError("access_denied", "The login was cancelled or could not be used.", detail=detail)
