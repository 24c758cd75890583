"""J11: what is too large is refused before it is read, and leaves nothing in memory."""

import time
from pathlib import Path
from urllib.parse import urlencode

import pytest

from support.backstage import SwiftEhr
from support.ehr import ASSERTION_TYPE, Answer
from support.intakes import (
    ASSERTION,
    PROOF,
    claims,
    header,
    present,
    proper_refusal,
    refuses_all,
    well_formed,
)
from support.service import Service
from support.tokens import compact
from support.wire import post

PROMPT = 1.0
"""Seconds, generous because tests share the machine; a good request takes 0.01."""
MEGABYTE = 2**20
FORM = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE}


def resident(service: Service) -> int:
    """The memory of all workers, in bytes."""
    total = 0
    for pid in service.worker_pids():
        total += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096
    return total


def test_j11_the_limit_of_an_assertion_is_exact(attacker: SwiftEhr):
    """An assertion of 24,576 bytes is accepted, one byte more is refused."""
    payload = claims(ASSERTION, attacker, pad="")
    rest = len(compact(header(ASSERTION, attacker), payload, attacker.key))
    fitting = "x" * ((24_576 - rest) * 3 // 4)
    while len(made(attacker, fitting)) < 24_576:
        fitting += "x"
    assert present(attacker, ASSERTION, made(attacker, fitting[:-1])).status == 200
    over = made(attacker, fitting + "xx")
    assert proper_refusal(ASSERTION, present(attacker, ASSERTION, over)) is None


def made(ehr: SwiftEhr, pad: str) -> str:
    return compact(header(ASSERTION, ehr), claims(ASSERTION, ehr, pad=pad), ehr.key)


def test_j11_a_proof_that_outgrows_the_headers_is_refused(attacker: SwiftEhr):
    """A proof of nearly 8 kB is judged like any other; one that no header may hold gets 431."""
    head, payload = header(PROOF, attacker), claims(PROOF, attacker, pad="x" * 4_000)
    assert present(attacker, PROOF, compact(head, payload, attacker.dpop_key)).status == 200
    for size in (8_193, 60_000):
        answer = post(attacker.service, urlencode(attacker.form()).encode(), [("DPoP", "x" * size)])
        assert answer is not None
        assert answer.status == 431


@pytest.mark.parametrize("mark", [".", "="])
def test_j11_a_flood_of_dots_or_padding_is_refused_at_once(mark: str, attacker: SwiftEhr):
    """A million dots or equals signs are refused by size, tens of thousands of them by a glance."""
    assert refuses_all(attacker, PROOF, {1: mark, 2_000: mark * 2_000}) == {}
    for count in (1_000, 24_576, 24_577, 60_000):
        assert proper_refusal(ASSERTION, prompt(attacker.service, mark * count)) is None
    assert prompt(attacker.service, mark * 1_000_000).status == 413


def prompt(service: Service, token: str) -> Answer:
    """The answer to an assertion, which must not be long in coming."""
    body = urlencode({**FORM, "client_assertion": token}).replace("%3D", "=").encode()
    started = time.monotonic()
    answer = post(service, body)
    assert time.monotonic() - started < PROMPT
    assert answer is not None
    return answer


def test_j11_the_limit_of_a_body_is_exact(service: Service):
    """A body of 65,536 bytes is read, one byte more is not."""
    for size, status in ((65_536, 401), (65_537, 413)):
        body = urlencode({**FORM, "client_assertion": ""}).encode()
        answer = post(service, body + b"x" * (size - len(body)))
        assert answer is not None
        assert answer.status == status
        assert well_formed(answer)


def test_j11_megabytes_are_refused_and_not_kept(service: Service):
    """Bodies of 1 MB and 30 MB get 413, or no more than that, and the workers' memory is what it was."""
    head = urlencode({**FORM, "client_assertion": ""}).encode()
    for _ in range(8):
        post(service, head + b"x" * MEGABYTE)
    before = resident(service)
    for size in (MEGABYTE, 30 * MEGABYTE, 30 * MEGABYTE):
        answer = post(service, head + b"x" * size)
        assert answer is None or answer.status == 413
    assert resident(service) - before < 5 * MEGABYTE
