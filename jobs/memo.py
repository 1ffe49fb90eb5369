"""What our comment on GitHub remembers of its job, unseen, should Redis lose everything. Pure.

Sealed, because whoever may write to a repository may also edit our comments.
"""

import base64
import binascii
import re
import zlib

from pydantic import TypeAdapter, ValidationError

from jobs.events import (
    EVENT,
    Allowed,
    Approved,
    Charged,
    Cloned,
    JobEvent,
    Planned,
    Received,
)
from jobs.job import Job, fold
from jobs.seal import Seal, SealBroken

MOST_CHARS = 20_000
MOST_BYTES = 200_000  # unpacked
_MARK = re.compile(r"<!-- vibecoder:memo:([A-Za-z0-9+/=]{1,40000}) -->")
_JOB = re.compile(r"<!-- vibecoder:job:(j[0-9a-f]{20}) -->")
_EVENTS: TypeAdapter[list[JobEvent]] = TypeAdapter(list[JobEvent])


def memo(job: Job, seal: Seal) -> str:
    """The hidden mark; empty where there is nothing to go on from, or too much for a comment."""
    if not job.branch and job.end is None:
        return ""
    data = b"[" + b",".join(EVENT.dump_json(event) for event in essence(job)) + b"]"
    text = base64.b64encode(seal.seal(zlib.compress(data, 9))).decode()
    return f"<!-- vibecoder:memo:{text} -->" if len(text) <= MOST_CHARS else ""


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
    if job.plan is not None:
        waits = job.state == "awaiting_approval" or job.approved_by is not None
        events.append(Planned(at, job.plan, job.digest, waits))
    if job.approved_by is not None:
        events.append(Approved(at, job.approved_by, job.digest))
    events += job.commits
    events += job.skipped
    if job.pull is not None:
        events.append(job.pull)
    if job.end is not None:
        events.append(job.end)
    return events


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
