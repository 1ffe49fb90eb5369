"""What our comment on GitHub remembers of its job, unseen, should Redis lose everything.

Sealed, because whoever may write to a repository may also edit our comments.
"""

import base64
import binascii
import re
import zlib
from dataclasses import replace

import structlog
from pydantic import TypeAdapter, ValidationError

from agent.plan import Plan
from jobs.events import (
    EVENT,
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
    StepBegan,
    StepCommitted,
    StepSkipped,
)
from jobs.job import Job, fold
from jobs.seal import Seal, SealBroken

log = structlog.get_logger()

MOST_CHARS = 16_000  # of the mark; a comment's words have pieces.COMMENT_ROOM beside it
LONGEST = (1_000_000, 1_000, 200)  # characters of each text, tried one after the other
MOST_BYTES = 200_000  # unpacked
_MARK = re.compile(r"<!-- vibecoder:memo:([A-Za-z0-9+/=]{1,40000}) -->")
_JOB = re.compile(r"<!-- vibecoder:job:(j[0-9a-f]{20}) -->")
_EVENTS: TypeAdapter[list[JobEvent]] = TypeAdapter(list[JobEvent])


def memo(job: Job, seal: Seal) -> str:
    """The hidden mark; empty where there is nothing to go on from, or too much for a comment.

    Equal jobs give equal marks.
    """
    if not job.branch and job.end is None:
        return ""
    for longest in LONGEST:
        events = [_shortened(event, longest) for event in essence(job)]
        data = b"[" + b",".join(map(EVENT.dump_json, events)) + b"]"
        text = base64.b64encode(seal.seal(zlib.compress(data, 9))).decode()
        if len(data) <= MOST_BYTES and len(text) <= MOST_CHARS:
            return f"<!-- vibecoder:memo:{text} -->"
    log.warning("too much for a comment to remember", job=job.id, chars=len(text))
    return ""


def _shortened(event: JobEvent, longest: int) -> JobEvent:
    """With texts of at most so many characters, and lists of a hundredth as many items."""

    def cut(text: str) -> str:
        return text if len(text) <= longest else f"{text[: longest - 1]}…"

    def few(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(cut, texts[: longest // 100]))

    def paths(files: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(path for path in files[: longest // 100] if len(path) <= longest)

    match event:
        case Received(command=command):
            return replace(event, command=replace(command, text=cut(command.text)))
        case Planned(plan=plan):
            short = Plan(
                plan.title,
                cut(plan.summary),
                tuple(
                    replace(
                        step,
                        intent=cut(step.intent),
                        files=paths(step.files),
                        done_when=cut(step.done_when),
                    )
                    for step in plan.steps
                ),
                cut(plan.root_cause),
                few(plan.evidence),
                few(plan.verification),
                few(plan.risks),
                few(plan.out_of_scope),
                plan.questions if longest > 1_000 else (),
            )
            return replace(event, plan=short)
        case StepCommitted(files=files):
            return replace(event, files=paths(files))
        case Revised(text=text) | Steered(text=text):
            return replace(event, text=cut(text))
        case StepSkipped(why=why):
            return replace(event, why=cut(why))
        case Finished(summary=summary, not_done=not_done):
            return replace(event, summary=cut(summary), not_done=few(not_done))
        case _:
            return event


def essence(job: Job) -> list[JobEvent]:
    """The fewest events that lead to where the job stands: without runs, notes and check runs."""
    at = job.received_at
    events: list[JobEvent] = [Received(at, job.command)]
    if job.permission:
        events.append(Allowed(at, job.permission))
    if job.branch:
        events.append(Cloned(at, job.base, job.base_sha, job.branch, 0, 0, 0.0))
    if job.usd:
        events.append(
            Charged(
                at,
                "",
                job.input_tokens - job.cache_read_tokens,
                job.cache_read_tokens,
                0,
                job.output_tokens,
                job.usd,
            )
        )
    events += _words(job)
    if job.budget is not None:
        events.append(replace(job.budget, digest=""))
    if job.plan is not None:
        waits = job.state == "awaiting_approval" or job.approved_by is not None
        events.append(Planned(at, job.plan, job.digest, waits, job.ceiling_usd))
    if job.approved_by is not None:
        events.append(Approved(at, job.approved_by, job.digest))
    if job.step:
        events.append(StepBegan(at, job.step))
    events += job.commits
    events += job.skipped
    if job.pull is not None:
        events.append(job.pull)
    if job.end is not None:
        events.append(job.end)
    return events


def _words(job: Job) -> list[JobEvent]:
    """What people said, with the plan that one of them wants changed right before that."""
    events: list[JobEvent] = list(job.words)
    wanted = [word for word in job.words if isinstance(word, Revised)]
    if job.replaced is not None and wanted:
        digest, usd = wanted[-1].digest, job.ceiling_usd
        replaced = Planned(job.received_at, job.replaced, digest, True, usd)
        events.insert(events.index(wanted[-1]), replaced)
    return [*events, Heard(job.received_at, job.heard)] if events else []


def job_marked(body: str) -> str | None:
    """The id of the job that one of our comments is about."""
    found = _JOB.match(body)
    return found[1] if found else None


def remembered(body: str, seal: Seal) -> list[JobEvent] | None:
    """The events in a comment of ours; None where there are none that can be trusted."""
    found, job_id = _MARK.search(body), job_marked(body)
    if found is None or job_id is None:
        return None
    try:
        sealed = base64.b64decode(found[1], validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(seal.open(sealed), MOST_BYTES)
        events = _EVENTS.validate_json(data)
        fold(job_id, events)
    except (binascii.Error, SealBroken, zlib.error, ValidationError, ValueError):
        return None  # edited by a person, of another key, or of another version
    return events
