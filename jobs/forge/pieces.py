"""Pieces that our messages are made of. Pure."""

from collections.abc import Iterable, Sequence

from jobs.forge.encode import code, inline, sentence
from jobs.job import Job

ROOM = 60_000  # bytes; GitHub's own limits are 65,536 characters, and 65,535 in a check run
COMMENT_ROOM = 44_000  # the rest is for what the comment remembers unseen


def cost(job: Job) -> str:
    """What the model cost so far, in one line; empty before it was asked anything."""
    if not job.input_tokens:
        return ""
    share = round(100 * job.cache_read_tokens / job.input_tokens)
    return (
        f"${job.usd:.2f} · {thousands(job.input_tokens)} tokens read, {share} % from the cache · "
        f"{thousands(job.output_tokens)} written"
    )


def budget(job: Job) -> str:
    """What people said that the job may cost, in one line; empty where nobody did."""
    if job.usd_wanted is None:
        return ""
    by = job.budget.actor if job.budget else job.command.actor
    return f"budget ${job.usd_wanted:.2f}, by {inline(by.login, 60)}"


def together(parts: Iterable[str], end: str = "", room: int = ROOM) -> str:
    """Blocks as one message of at most `room` bytes: the first that does not fit ends it."""
    notice = "*The rest is too long to be shown here.*"
    room -= len(f"{notice}{end}".encode()) - 4
    kept: list[str] = []
    for part in parts:
        if not part:
            continue
        room -= len(part.encode()) + 2
        if room < 0:
            kept.append(notice)
            break
        kept.append(part)
    return "\n\n".join([*kept, end] if end else kept)


def bullets(heading: str, items: Sequence[str], limit: int = 500, *, as_code: bool = False) -> str:
    if not items:
        return ""
    lines = [f"- {code(item, limit) if as_code else sentence(item, limit)}" for item in items[:10]]
    if len(items) > 10:
        lines.append(f"- and {len(items) - 10} more")
    return f"**{heading}**\n" + "\n".join(lines)


def beside(block: str) -> str:
    """A block that is to follow a bold word on its line, where it begins with plain words."""
    return f"\n\n{block}" if block[:2] in {"- ", "* ", "> ", "1.", "``"} else block


def duration(seconds: float) -> str:
    """Such as "0.8 s", "42 s", "2 min 5 s"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def thousands(number: int) -> str:
    if number < 1_000:
        return str(number)
    if number < 100_000:
        return f"{number / 1_000:.1f}k"
    return f"{number / 1_000:.0f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def watch_url(job: Job, public_url: str | None) -> str | None:
    """Where the job can be watched as it goes."""
    return f"{public_url.rstrip('/')}{watch_path(job)}" if public_url else None


def watch_path(job: Job) -> str:
    """The same within the app's own origin."""
    return f"/app/job/{job.id}"
