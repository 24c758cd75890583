"""The edges: Flask, WSGI and ASGI translate, and decide nothing."""

import asyncio
import io
import json
from urllib.parse import unquote

import pytest
from flask import Flask, request
from werkzeug.test import Client as WSGIClient

from support.stand_in import OTHER_PATIENT, PATIENT, World
from tillit.verifier.adapters.asgi import VerifiedASGI
from tillit.verifier.adapters.asgi import public_url as asgi_url
from tillit.verifier.adapters.flask import FlaskGuard
from tillit.verifier.adapters.wsgi import VerifiedWSGI, public_url

BASE = "https://source.example"


def credentials(world, path="/documents", method="GET"):
    token = world.token()
    return {"Authorization": f"DPoP {token}", "DPoP": world.proof(token, htu=BASE + path, htm=method)}


@pytest.fixture
def flask_client(world):
    """A Flask application with one protected view."""
    app = Flask("source")
    guard = FlaskGuard(world.verifier, base_url=BASE)
    guard.init_app(app)

    @app.route("/documents", methods=["GET", "POST"])
    def documents():
        access = guard.access(patient=request.headers.get("X-Patient"))
        return {"client": access.client_id}

    @app.get("/open")
    def open_to_all():
        return "hello"

    return app.test_client()


def test_flask_lets_a_good_request_through(world, flask_client):
    """A verified request reaches the view with its Access."""
    answer = flask_client.get("/documents?page=2", headers=credentials(world))

    assert (answer.status_code, answer.json) == (200, {"client": "ehr-nordfjell"})


def test_flask_answers_a_refusal_as_it_is(world, flask_client):
    """Status, challenge and body of a refusal go out unchanged."""
    answer = flask_client.get("/documents", headers={**credentials(world), "X-Patient": OTHER_PATIENT})

    assert (answer.status_code, answer.json) == (403, {"error": "access_denied"})
    assert answer.headers["WWW-Authenticate"].startswith('DPoP error="access_denied"')
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_flask_checks_the_patient(world, flask_client):
    """The view hands the patient on."""
    assert (
        flask_client.get("/documents", headers={**credentials(world), "X-Patient": PATIENT}).status_code
        == 200
    )


def test_flask_views_without_guard_stay_open(flask_client):
    """The guard protects the views that ask it, and no others."""
    assert flask_client.get("/open").data == b"hello"


def test_flask_without_credentials(flask_client):
    """A request without credentials gets the bare challenge."""
    answer = flask_client.get("/documents")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("DPoP algs=")


def test_d3_flask_goes_by_the_configured_address(world, flask_client):
    """The address in Host and forwarded headers is the sender's word, and does not count."""
    token = world.token()
    proof = world.proof(token, htu="http://evil.example/documents")
    headers = {"Authorization": f"DPoP {token}", "DPoP": proof, "Host": "evil.example"}
    spoofed = {**headers, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}

    assert flask_client.get("/documents", headers=spoofed).status_code == 401


def test_d4_flask_hands_the_method_on(world, flask_client):
    """A proof for GET does not serve for POST."""
    assert flask_client.post("/documents", headers=credentials(world, method="POST")).status_code == 200
    assert flask_client.post("/documents", headers=credentials(world, method="GET")).status_code == 401


def test_wsgi_protects_everything_behind_it(world):
    """The middleware puts the Access into the environment or answers itself."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["tillit.access"].client_id.encode()]

    guarded = VerifiedWSGI(
        app, world.verifier, base_url=BASE, patient=lambda environ: environ.get("HTTP_X_PATIENT")
    )
    client = WSGIClient(guarded)

    assert client.get("/documents", headers=credentials(world)).data == b"ehr-nordfjell"
    refused = client.get("/documents", headers={**credentials(world), "X-Patient": OTHER_PATIENT})
    assert refused.status == "403 Forbidden"
    assert json.loads(refused.data) == {"error": "access_denied"}
    unpatient = VerifiedWSGI(app, world.verifier, base_url=BASE)
    assert WSGIClient(unpatient).get("/documents", headers=credentials(world)).status_code == 200


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RAW_URI": "/a%2Fb?c=d", "PATH_INFO": "/a/b"}, "/a%2Fb"),
        ({"REQUEST_URI": "/x/a%20b", "PATH_INFO": "/a b"}, "/x/a%20b"),
        ({"RAW_URI": "http://evil.example/a?b", "PATH_INFO": "/a"}, "/a"),
        ({"RAW_URI": "//evil.example/a", "PATH_INFO": "//evil.example/a"}, "//evil.example/a"),
        ({"SCRIPT_NAME": "/app", "PATH_INFO": "/a b/\xc3\xb8;v=1:2"}, "/app/a%20b/%C3%B8;v=1:2"),
        ({"PATH_INFO": "/100%"}, "/100%25"),
        ({}, ""),
    ],
)
def test_the_path_is_the_one_that_was_sent(environ, expected):
    """The path counts as it was sent where the server tells, else as it would ordinarily be written."""
    assert public_url(environ, BASE + "/") == BASE + expected


def run_asgi(app, scope):
    sent = []

    async def receive():
        return {"type": "http.request"}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


def http_scope(world, **changes):
    headers = [(name.lower().encode(), value.encode()) for name, value in credentials(world).items()]
    return {
        "type": "http",
        "method": "GET",
        "path": "/documents",
        "raw_path": b"/documents",
        "headers": headers,
        **changes,
    }


@pytest.fixture
def asgi_app(world):
    """An ASGI application behind the middleware."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["tillit.access"].client_id.encode()})
        else:
            await send({"type": scope["type"]})

    return VerifiedASGI(app, world.verifier, base_url=BASE, patient=lambda scope: scope.get("patient"))


def test_asgi_lets_a_good_request_through(world, asgi_app):
    """A verified request reaches the application with its Access in the scope."""
    assert run_asgi(asgi_app, http_scope(world))[1]["body"] == b"ehr-nordfjell"


def test_asgi_answers_a_refusal_as_it_is(world, asgi_app):
    """A refusal is sent as status, headers and body."""
    start, body = run_asgi(asgi_app, http_scope(world, patient=OTHER_PATIENT))

    assert start["status"] == 403
    assert (b"content-type", b"application/json") in start["headers"]
    assert json.loads(body["body"]) == {"error": "access_denied"}


def test_d1_asgi_sees_two_headers(world, asgi_app):
    """ASGI shows repeated headers, and two proofs are refused."""
    scope = http_scope(world)
    scope["headers"].append(scope["headers"][-1])

    assert run_asgi(asgi_app, scope)[0]["status"] == 401


def test_asgi_refuses_websockets(world, asgi_app):
    """A proof is for one request, so a WebSocket cannot be opened with it."""
    assert run_asgi(asgi_app, {"type": "websocket"}) == [{"type": "websocket.close", "code": 1008}]


def test_asgi_lets_the_lifespan_pass(asgi_app):
    """Start and stop of the application are no requests."""
    assert run_asgi(asgi_app, {"type": "lifespan"}) == [{"type": "lifespan"}]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"raw_path": b"/a%2Fb", "path": "/a/b"}, "/a%2Fb"),
        ({"raw_path": b"/a?b", "path": "/a"}, "/a"),
        ({"path": "/a b/\u00f8"}, "/a%20b/%C3%B8"),
        ({"raw_path": None, "path": "/a"}, "/a"),
    ],
)
def test_asgi_takes_the_path_as_it_was_sent(scope, expected):
    """The raw path counts where the server gives it."""
    assert asgi_url(scope, BASE) == BASE + expected
    assert unquote(expected)


def test_d1_wsgi_headers_joined_by_a_server_are_refused():
    """Servers join repeated headers with a comma: that is two proofs, and refused."""
    world = World()
    good = credentials(world)
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/documents",
        "HTTP_AUTHORIZATION": good["Authorization"],
        "HTTP_DPOP": f"{good['DPoP']},{good['DPoP']}",
        "wsgi.input": io.BytesIO(),
    }
    started = []
    guarded = VerifiedWSGI(lambda *_: [], world.verifier, base_url=BASE)
    guarded(environ, lambda status, _: started.append(status))

    assert started == ["401 Unauthorized"]
