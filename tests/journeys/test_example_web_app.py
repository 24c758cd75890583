"""The example EHR with a login, run as a stranger would run it: its own process, a browser, a document source."""

import os
import re
import subprocess
import sys
import time

import pytest
import requests

from support.service import START_SECONDS, STOP_SECONDS, Service, free_port
from support.sources import EXAMPLES, DocumentSource
from support.visitor import Page, Returned, Visitor

CLIENT = "dev-login"


@pytest.fixture(scope="module")
def source(service: Service, tmp_path_factory: pytest.TempPathFactory):
    """The example document source."""
    with DocumentSource(service, tmp_path_factory.mktemp("source")) as running:
        yield running


@pytest.fixture(scope="module")
def ehr(service: Service, source: DocumentSource, tmp_path_factory: pytest.TempPathFactory):
    """The address of the example EHR."""
    port = free_port()
    command = [sys.executable, str(EXAMPLES / "ehr_web_app.py"), "--issuer", service.issuer]
    command += ["--client-id", CLIENT, "--key", str(service.data / "clients" / f"{CLIENT}.jwk")]
    command += ["--attestation", str(EXAMPLES / "attestation-specialist-care.json")]
    command += ["--url", f"{source.url}/documents/search", "--port", str(port)]
    log = tmp_path_factory.mktemp("ehr") / "log"
    url = f"http://127.0.0.1:{port}"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        ) as process,
    ):
        deadline = time.monotonic() + START_SECONDS
        while not answers(url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield url
        process.terminate()
        process.wait(STOP_SECONDS)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).status_code == 200
    except requests.ConnectionError:
        return False


def button(browser: requests.Session, url: str) -> requests.Response:
    """Press the button that leads to ``url``."""
    return browser.post(url, allow_redirects=False, timeout=20)


def logged_in(ehr: str, visitor: Visitor, browser: requests.Session) -> requests.Response:
    """Log in, and come back to the EHR."""
    sent = button(browser, f"{ehr}/login")
    back = visitor.log_in(sent.headers["Location"])
    query = "&".join(
        f"{name}={requests.utils.quote(value, safe='')}" for name, value in back.parameters.items()
    )
    return browser.get(f"{ehr}/callback?{query}", timeout=20)


def test_a_practitioner_logs_in_and_opens_a_patient(ehr: str, service: Service, source: DocumentSource):
    """One login, one attested patient, documents on the screen, and a line for the patient to read."""
    visitor, browser = Visitor(service), requests.Session()
    page = logged_in(ehr, visitor, browser)
    assert 'id="who"' in page.text, page.text

    documents = button(browser, f"{ehr}/patient")

    assert documents.status_code == 200, documents.text
    assert len(re.findall("<li>", documents.text)) == 2
    assert "TREAT" in source.written_down()[-1]


def test_logging_out_ends_it_everywhere(ehr: str, service: Service):
    """After the button, the EHR knows nobody, and the token service asks for a login again."""
    visitor, browser = Visitor(service), requests.Session()
    logged_in(ehr, visitor, browser)

    out = button(browser, f"{ehr}/logout")
    page = visitor.open(out.headers["Location"])

    assert isinstance(page, Page)
    assert page.status == 200
    assert 'id="login"' in browser.get(ehr, timeout=5).text
    again = visitor.open(button(browser, f"{ehr}/login").headers["Location"])
    assert not isinstance(again, Returned)


def test_the_answer_is_good_in_one_browser_only(ehr: str, service: Service):
    """Whoever is sent somebody else's callback has no login of their own there."""
    browser, stranger = requests.Session(), requests.Session()
    sent = button(browser, f"{ehr}/login")
    back = Visitor(service).log_in(sent.headers["Location"])

    answer = stranger.get(f"{ehr}/callback", params=dict(back.parameters), timeout=5)

    assert answer.status_code == 400
