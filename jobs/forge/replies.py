"""What we answer to a single comment: refusals, help, where a job stands. Pure."""

from collections.abc import Sequence
from decimal import Decimal

from jobs.commands import Explain
from jobs.events import Revised, Steered
from jobs.forge.encode import code, inline, prose
from jobs.forge.pieces import budget, cost, duration, together
from jobs.forge.render import standing
from jobs.job import Job

NOTHING_HERE = (
    "No job of mine is here, or was within the last days. `/vibecode help` tells what can be said."
)


def refusal(reason: str) -> str:
    """Why we do not do what was asked; seen by whoever asked, under their comment."""
    return prose(reason, 4_000)


USAGE = """\
| Comment | What happens |
|---|---|
| `/vibecode fix the flaky retry` | the work is planned and done; a draft pull request appears |
| `/vibecode plan fix the flaky retry` | only a plan, which waits for your word |
| `/vibecode accept` | go on with the plan that waits here |
| `/vibecode` and more words | changes the plan that waits here, or tells the agent at work |
| `/vibecode revise smaller steps` | another plan than the one that waits here |
| `/vibecode stop` | stop; commits are kept |
| `/vibecode retry` | the last job's wish once more |
| `/vibecode status` | where the job stands |
| `/vibecode budget 5` | what the job may cost at most, in dollars |
| `/vibecode why` | what became of the last things said here; with a link, of that comment |
| `/vibecode help` | this list |"""


def status(job: Job, now: float) -> str:
    """Where the job stands, for somebody who asked."""
    asked = f"{inline(job.command.actor.login, 60)} asked {duration(now - job.received_at)} ago"
    line = " · ".join(part for part in (asked, cost(job), budget(job)) if part)
    return together(standing(job, brief=True), end=f"<sub>{line}</sub>")


def why(lines: Sequence[str]) -> str:
    """What became of what was said, for somebody who asked."""
    if not lines:
        return (
            "I know nothing of that here. What comes in is remembered for three days; ask with the "
            "link to a comment of this repository, or with a delivery's GUID."
        )
    return together(["What became of it:", "\n".join(f"- {inline(line, 600)}" for line in lines)])


def above_the_ceiling(usd: Decimal) -> str:
    """Why a budget is not taken."""
    return f"Whoever runs me allows at most ${usd:.2f} for one job, so the budget stays as it is."


def explain(command: Explain) -> str:
    """What we understand, for somebody who asked for help or wrote what is no command."""
    if not command.problem:
        return together(["This is what I understand:", USAGE])
    heard = f"You wrote {code(command.said, 200)}." if command.said.strip() else ""
    return together([prose(command.problem, 2_000), heard, USAGE])


def busy(job: Job) -> str:
    """Why a plan is not made on a thread where a job is at work already."""
    return (
        f"I am still at what {job.command.actor.login} asked for here. Wait until it is done, or "
        "comment `/vibecode stop`, then ask again."
    )


def joined(job: Job, word: Steered | Revised) -> str:
    """What became of a request on a thread where a job waits or is at work already."""
    asked = inline(job.command.actor.login, 60)
    if isinstance(word, Revised):
        return (
            f"A plan that {asked} asked for was waiting here, so I take this as what to change in "
            "it, and plan anew. The plan before no longer counts."
        )
    return (
        f"I am at what {asked} asked for here, so I tell this to the agent, which hears it before "
        "it goes on. For something else, wait until this is done, or comment `/vibecode stop`."
    )
