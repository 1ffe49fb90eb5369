"""Whom a job's events call, and with what words. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.commands import Actor
from jobs.events import Finished, JobEvent, Planned
from jobs.forge.encode import one_line
from jobs.forge.pieces import watch_path, watch_url
from jobs.job import Job, fold

Kind = Literal["plan", "question", "finished", "failed", "stopped", "cancelled"]

_LEADS: dict[Kind, str] = {
    "plan": "Plan ready",
    "question": "Question",
    "finished": "Finished",
    "failed": "Failed",
    "stopped": "Stopped",
    "cancelled": "Cancelled",
}
# Short names of emojis: https://docs.ntfy.sh/emojis/
_TAGS: dict[Kind, str] = {
    "plan": "clipboard",
    "question": "question",
    "finished": "white_check_mark",
    "failed": "x",
    "stopped": "octagonal_sign",
    "cancelled": "wastebasket",
}
_TITLE_CHARS = 120  # of what it is about; the repository's name comes after
_TEXT_CHARS = 300


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told when a job needs them, or ended."""

    event_id: str
    job: Job
    kind: Kind
    people: tuple[Actor, ...]  # whoever asked, said something to it, or accepted its plan
    public: bool  # whether it is also for the operator's own topic

    @property
    def title(self) -> str:
        """Such as "Plan ready: Fix the clock — ann/clock"."""
        job = self.job
        about = job.plan.title if job.plan else job.command.text
        if self.kind == "question" and job.plan:
            about = job.plan.questions[0].text
        return f"{_LEADS[self.kind]}: {one_line(about, _TITLE_CHARS)} — {job.repository.name}"

    @property
    def text(self) -> str:
        """A sentence or two."""
        job, plan = self.job, self.job.plan
        if job.end is not None:
            pull = f"Pull request #{job.pull.number}. " if job.pull else ""
            return one_line(pull + job.end.summary, _TEXT_CHARS)
        if plan is None:
            return ""
        if self.kind == "question":
            return one_line(f"{plan.title}: the plan waits for your answer.", _TEXT_CHARS)
        return one_line(plan.summary, _TEXT_CHARS)

    def link(self, public_url: str | None) -> str:
        """Where the job is watched: an address, or a path of the app's own origin."""
        return watch_url(self.job, public_url) or watch_path(self.job)


def notice(job_id: str, history: Sequence[tuple[str, JobEvent]], event_id: str) -> Notice | None:
    """What is to be told of that event of the job's history.

    None where nobody needs to hear of it any more, such as of a plan that was accepted meanwhile,
    and where GitHub never let the asker in: a stranger's comment calls nobody.
    """
    job = fold(job_id, [event for _, event in history])
    if job.state != "awaiting_approval" and not job.ended:
        return None
    standing = [id_ for id_, event in history if isinstance(event, Planned | Finished)]
    if standing[-1] != event_id:
        return None
    # By the phone nobody comes in who may not write.
    if not job.permission and job.command.comment is not None:
        return None
    people = {job.command.actor.id: job.command.actor}
    people |= {word.actor.id: word.actor for word in job.words}
    if job.approved_by is not None:
        people[job.approved_by.id] = job.approved_by
    stopper = job.cancelled_by if job.state == "cancelled" else None
    if stopper is not None:
        people.pop(stopper.id, None)  # who knows it already
    return Notice(event_id, job, _kind(job), tuple(people.values()), public=stopper is None)


def _kind(job: Job) -> Kind:
    match job.state:
        case "succeeded":
            return "finished"
        case "failed" | "stopped" | "cancelled":
            return job.state
        case _:
            return "question" if job.plan and job.plan.questions else "plan"


def for_browser(notice: Notice, public_url: str | None) -> bytes:
    """In the form of Declarative Web Push, which browsers can show without a script of ours.

    Those that cannot hand it to the app's service worker. A later one of the same job takes the
    place of an earlier one by its tag; `data.id` tells a repeated one from a new one.

    Source: https://www.w3.org/TR/push-api/#declarative-push-message
    """
    shown = {
        "title": notice.title,
        "body": notice.text,
        "navigate": notice.link(public_url),
        "tag": notice.job.id,
        "data": {"id": notice.event_id, "job_id": notice.job.id, "kind": notice.kind},
    }
    message = {"web_push": 8030, "notification": shown}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def for_ntfy(notice: Notice, topic: str, public_url: str | None) -> dict[str, object]:
    """As JSON for ntfy; servers from 2.16 on take a repeated one for the same.

    Source: https://docs.ntfy.sh/publish/#publish-as-json
    """
    said: dict[str, object] = {
        "topic": topic,
        "title": notice.title,
        "message": notice.text,
        "tags": [_TAGS[notice.kind]],
        # By the event, because what replaces another message there makes no sound.
        "sequence_id": f"{notice.job.id}-{notice.event_id}",
    }
    click = notice.link(public_url) if public_url else notice.job.pull and notice.job.pull.url
    return said | ({"click": click} if click else {})
