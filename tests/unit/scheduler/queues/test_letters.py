"""Letters and notes: what is written is what is read, and what cannot be read is refused with a reason."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import pytest

from asyncflow.outbox import Task
from asyncflow.scheduler.queues.letters import letter_of, read_letter
from asyncflow.scheduler.queues.notes import ClaimNote, Reached, note_of, read_note
from asyncflow.scheduler.worker.claiming.claim import Claim
from asyncflow.scheduler.worker.claiming.claim_outcomes import ClaimOutcome
from asyncflow.scheduler.worker.claiming.held_claim import HeldClaim
from asyncflow.scheduler.worker.leaving.results import Result

HELD = HeldClaim(UUID(int=1), UUID(int=2))


def claim(payload: bytes | None = b'{"n": 1}', seconds: float = 30.0) -> Claim:
    task = Task(uuid4().bytes, "issue", 7, "A-1", '{"trace": "x"}', payload, 2, 5)
    return Claim(task, uuid4(), "paid", '{"at": 3}', time.monotonic() + seconds)


@pytest.mark.parametrize("payload", [b'{"n": 1}', b"\n\x00\xff\n", None], ids=["json", "binary", "none"])
def test_a_claim_comes_out_of_its_letter_as_it_went_in(payload: bytes | None) -> None:
    sent = claim(payload)
    letter = read_letter(letter_of(sent))
    arrived = letter.claim(seconds_on_way=10.0)
    assert arrived is not None
    assert (arrived.task.id, arrived.token, arrived.attempt) == (sent.task.id, sent.token, 3)
    assert arrived.task.payload == (payload or b"{}")
    assert arrived.task[3:5] == ("A-1", '{"trace": "x"}')
    assert (arrived.stage, arrived.context, arrived.task.max_retries) == ("paid", '{"at": 3}', 5)
    assert arrived.held_until <= sent.held_until


def test_a_letter_whose_claim_may_have_run_out_on_its_way_is_no_claim_any_more() -> None:
    letter = read_letter(letter_of(claim(seconds=5.0)))
    assert letter.claim(seconds_on_way=5.0) is None
    assert letter.claim(seconds_on_way=0.0) is not None


@pytest.mark.parametrize(
    "body",
    [b"", b"no json\n{}", b'{"v":2}\n{}', b'{"v":1}\n{}', b"[]\n"],
    ids=["empty", "no json", "another version", "nothing in it", "no object"],
)
def test_a_letter_that_cannot_be_read_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"(?i)letter|literal|json|input|expected"):
        read_letter(body)


def test_a_note_comes_back_as_it_was_told() -> None:
    outcome = ClaimOutcome(HELD, "success", None, "", Result('{"coupon": 5}', True))
    later = ClaimOutcome(HELD, "retry", 2.5, "TimeoutError: no answer")
    note = ClaimNote([HELD], 30.0, [Reached(HELD, "paid", None)], [outcome, later])
    assert read_note(note_of(note)) == note


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (b'{"v":9}', "version"),
        (b'{"v":1}', "missing"),
        (b'{"v":1,"renewed":[["x","y"]],"lease_seconds":1,"reached":[],"outcomes":[]}', "hexadecimal"),
        (b'{"v":1,"renewed":[],"lease_seconds":1e9,"reached":[],"outcomes":[]}', "lease_seconds"),
        (b'{"v":1,"renewed":[],"lease_seconds":1,"reached":[["%s","%s","",null]],"outcomes":[]}', "stage"),
        (b'{"v":1,"renewed":[],"lease_seconds":1,"reached":[],"outcomes":[["%s","%s","gone",null,"",null]]}', "gone"),
        (b'{"v":1,"renewed":[],"lease_seconds":1,"reached":[],"outcomes":[["%s","%s","retry",-1,"",null]]}', "delay"),
    ],
    ids=["version", "fields", "id", "lease", "stage", "outcome", "delay"],
)
def test_a_note_that_cannot_be_read_is_refused_with_the_reason(told: bytes, why: str) -> None:
    names = (str(HELD.id).encode(), str(HELD.token).encode())
    with pytest.raises(ValueError, match=why):
        read_note(told % names if b"%s" in told else told)
