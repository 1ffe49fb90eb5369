"""A commit that GitHub did not take is not lost: it goes to another branch, or along as a patch."""

import asyncio
import base64
import zlib

import structlog

from jobs.events import Rescued
from jobs.forge.errors import ForgeError, PushRefused
from jobs.forge.git import Commit
from jobs.forge.remote import remote_head
from jobs.prepare import Bench

log = structlog.get_logger()

PART_CHARS = 55_000  # of base64 in one comment; GitHub takes 65,536 characters
MOST_PARTS = 5


async def rescue(bench: Bench, commit: Commit, refused: PushRefused) -> PushRefused:
    """The refusal with where the work is now, to be raised."""
    if refused.kind == "stale":
        branch = await _elsewhere(bench, commit)
        if branch is not None:
            return PushRefused(
                "stale", f"{refused} My commits, with this last one, are on `{branch}` instead."
            )
    packed = zlib.compress(await asyncio.to_thread(bench.checkout.patch, commit), wbits=31)
    text = base64.b64encode(packed).decode()
    parts = tuple(text[at : at + PART_CHARS] for at in range(0, len(text), PART_CHARS))
    if len(parts) > MOST_PARTS:
        return PushRefused(
            refused.kind,
            f"{refused} The commit is too large to be attached here as a patch "
            f"({len(packed) / 1e6:.1f} MB packed), so this step is lost.",
        )
    record = bench.record
    await record.add(Rescued(record.now, commit.sha, commit.parent, parts))
    return PushRefused(refused.kind, f"{refused} The commit is attached as a patch.")


async def _elsewhere(bench: Bench, commit: Commit) -> str | None:
    """A branch of ours that it was pushed to; None where that did not work either."""
    name = bench.record.job.branch
    try:
        for branch in (f"{name}-{n}" for n in range(2, 10)):
            if await asyncio.to_thread(remote_head, bench.remote, branch) in {None, commit.sha}:
                await bench.record.lease.guard()
                await asyncio.to_thread(
                    bench.checkout.push, bench.remote, branch, commit, expect=None
                )
                return branch
    except ForgeError as error:
        log.warning("not rescued to another branch", reason=str(error))
    return None
