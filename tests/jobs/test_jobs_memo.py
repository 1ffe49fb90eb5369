"""What a comment remembers of its job: read back as it was, and never believed when it was not."""

from dataclasses import replace
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.plan import Plan, Step
from jobs.commands import Actor, Issue, Repository, StartJob
from jobs.events import (
    Allowed,
    Approved,
    Charged,
    Cloned,
    Finished,
    Heard,
    JobEvent,
    Planned,
    Received,
    Revised,
    Steered,
    StepCommitted,
)
from jobs.job import Job, fold
from jobs.journal import pack, unpack
from jobs.memo import MOST_CHARS, essence, memo, remembered
from jobs.seal import Seal, SealBroken

ID = "j" + "0123456789" * 2
ANN = Actor(7, "ann")
ASKED = StartJob(
    "k", ANN, Repository(1, 2, "ann/clock", private=True), "Fix — it", False, Issue(3, "Late")
)
PLAN = Plan("Fix the clock", "It is late.", (Step("fix", "Fix it", "so that it is on time"),))


def key() -> str:
    made = rsa.generate_private_key(65537, 2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


SEAL = Seal(key())


def job(*, ended: bool = False) -> Job:
    events = [
        Received(1.0, ASKED),
        Allowed(1.0, "write"),
        Cloned(2.0, "main", "a" * 40, "vibecode/3-fix", 4, 5, 6.0),
        Charged(2.5, "m", 1, 2, 3, 4, Decimal("0.25")),
        Planned(3.0, PLAN, "d" * 64, True),
        Approved(4.0, ANN, "d" * 64),
    ]
    return fold(ID, [*events, *([Finished(5.0, "succeeded", "Done.")] if ended else [])])


def body(it: Job) -> str:
    return f"<!-- vibecoder:job:{ID} -->\n### Working\n\n{memo(it, SEAL)}"


@pytest.mark.parametrize("ended", [False, True])
def test_a_job_is_remembered_as_it_stands(ended: bool) -> None:
    it = job(ended=ended)
    events = remembered(body(it), SEAL)
    assert events == essence(it)
    again = fold(ID, events)
    assert (again.state, again.plan, again.digest, again.usd) == (
        it.state,
        it.plan,
        it.digest,
        it.usd,
    )
    assert (again.branch, again.base_sha, again.approved_by) == (it.branch, it.base_sha, ANN)
    assert memo(again, SEAL) == memo(it, SEAL)  # what has not changed is not written again
    assert "Late" not in memo(it, SEAL)


@pytest.mark.parametrize("planned_again", [False, True])
def test_what_people_said_is_remembered(planned_again: bool) -> None:
    events: list[JobEvent] = [
        Received(1.0, ASKED),
        Allowed(1.0, "write"),
        Cloned(2.0, "main", "a" * 40, "vibecode/3-fix", 4, 5, 6.0),
        Steered(2.5, ANN, "Mind the dots."),
        Heard(2.6, 1, "I do."),
        Planned(3.0, PLAN, "d" * 64, True, Decimal(2)),
        Revised(4.0, ANN, "Smaller.", "d" * 64),
        Steered(4.5, ANN, "And faster."),
    ]
    if planned_again:
        events += [Heard(5.0, 3), Planned(6.0, PLAN, "e" * 64, True, Decimal(2))]
    it = fold(ID, events)
    found = remembered(body(it), SEAL)
    assert found is not None
    again = fold(ID, found)
    assert (again.words, again.heard, again.replaced) == (it.words, it.heard, it.replaced)
    assert (again.state, again.plan, again.digest) == (it.state, it.plan, it.digest)
    assert memo(again, SEAL) == memo(it, SEAL)


def test_a_job_of_many_words_is_remembered_in_fewer_and_with_all_its_steps() -> None:
    words = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(30_000))
    paths = tuple(f"src/{words[n : n + 90]}.py" for n in range(0, 20_000, 100))
    steps = tuple(Step(f"s{n}", f"Step {n}", words[n:9_000], paths) for n in range(8))
    plan = Plan("Fix the clock", words, steps, words, paths, paths, paths, paths)
    long = job().apply(Planned(5.0, plan, "e" * 64, True))
    long = replace(long, command=replace(ASKED, text=words))
    for n in range(4):
        long = long.apply(StepCommitted(6.0, n + 1, f"{n}" * 40, f"Step {n}", paths, 1, 0, n))
    assert 1_000 < len(memo(long, SEAL)) < MOST_CHARS + 40
    events = remembered(body(long), SEAL)
    assert events is not None
    again = fold(ID, events)
    assert again.plan is not None
    assert [step.title for step in again.plan.steps] == [step.title for step in steps]
    assert [each.sha for each in again.commits] == [each.sha for each in long.commits]
    assert again.digest == long.digest
    assert words.startswith(again.command.text[:-1]) and again.command.text.endswith("…")


def test_before_there_is_a_branch_there_is_nothing_to_go_on_from() -> None:
    assert memo(fold(ID, [Received(1.0, ASKED)]), SEAL) == ""


def test_another_apps_memo_is_not_believed() -> None:
    assert remembered(body(job()), Seal(key())) is None


@given(st.data())
def test_what_was_changed_is_not_believed(data: st.DataObject) -> None:
    text = body(job())
    at = data.draw(st.integers(text.index("memo:") + 5, len(text) - 5))
    letter = data.draw(st.sampled_from("ABCDabcd0123+/"))
    if text[at] != letter:
        assert remembered(text[:at] + letter + text[at + 1 :], SEAL) is None


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda raw: raw.decode("latin-1")))
def test_no_text_breaks_the_reading(words: str) -> None:
    for text in (words, f"<!-- vibecoder:job:{ID} -->\n<!-- vibecoder:memo:{words} -->"):
        assert remembered(text, SEAL) is None


@given(st.binary(max_size=2_000))
def test_what_is_sealed_opens_and_nothing_else_does(data: bytes) -> None:
    sealed = SEAL.seal(data)
    assert SEAL.open(sealed) == data
    for broken in (b"", sealed[:-1], sealed[1:], bytes([sealed[0] ^ 1]) + sealed[1:]):
        with pytest.raises(SealBroken):
            SEAL.open(broken)


def test_a_conversation_is_sealed_and_begun_anew_where_the_key_changed() -> None:
    said = [{"role": "user", "content": f"\x00 ü 🌍 {n}"} for n in range(3)]
    entries = [pack(message, SEAL) for message in said]
    assert unpack(entries, SEAL) == said
    assert all(b"user" not in entry for entry in entries)
    with capture_logs() as said_so:
        assert unpack(entries, Seal(key())) == []
    assert said_so[0]["log_level"] == "warning"
