"""What became of a delivery or a comment, from what the store keeps of it for three days."""

import re
import time
from typing import assert_never

from jobs.commands import (
    AcceptPlan,
    AskStatus,
    AskWhy,
    CancelJob,
    Command,
    EndSessions,
    Explain,
    Forget,
    OpenPull,
    RetryJob,
    RevisePlan,
    SetBudget,
    Several,
    StartJob,
    Steer,
)
from jobs.queue.errors import CommandUnknown, JobUnknown
from jobs.queue.store import Store, Told, command_id_of

MOST = 5  # of a thread, the newest
WORDS = 80  # characters of what somebody said
_COMMENT = re.compile(r"#(?:issuecomment-|discussion_r)(\d{1,19})$")
_GUID = re.compile(r"[A-Za-z0-9_-]{1,100}")


async def of_target(store: Store, target: str, repository_id: int | None = None) -> list[str]:
    """A line for each delivery behind a comment's address or a GUID; empty: nothing is known.

    `repository_id`: only what is about that repository.
    """
    if found := _COMMENT.search(target):
        guids = await store.about_comment(int(found[1]))
    else:
        guids = [target] if _GUID.fullmatch(target) else []
    return [line for guid in guids for line in await _lines(store, guid, repository_id)]


async def of_thread(store: Store, asked: AskWhy) -> list[str]:
    """Lines for the newest things said on the thread, newest first, without the question itself."""
    lines: list[str] = []
    for guid in await store.about_thread(asked.repository.id, asked.issue.number):
        lines += await _lines(store, guid, asked.repository.id, but=asked.key)
    return lines[:MOST]


async def _lines(store: Store, guid: str, repository_id: int | None, but: str = "") -> list[str]:
    told = await store.delivery(guid)
    if told is None or repository_id not in {None, told.repository_id}:
        return []
    at = time.strftime("%d %b %H:%M UTC", time.gmtime(told.received_at))
    commands = [each for each in await _commands(store, told) if each[1].key != but]
    if not commands and told.command_id and but:
        return []
    lines = [f"{at}, {_who(each)}: {await _became(store, id_, each)}" for id_, each in commands]
    return lines or [f"{at}, {told.event}: {told.verdict or 'kept, and not read yet'}"]


async def _commands(store: Store, told: Told) -> list[tuple[str, Command]]:
    """The delivery's commands and their ids."""
    if not told.command_id:
        return []
    try:
        command = await store.command(told.command_id)
    except CommandUnknown:
        return []
    if isinstance(command, Several):
        return [(command_id_of(each.key), each) for each in command.commands]
    return [(told.command_id, command)]


async def _became(store: Store, command_id: str, command: Command) -> str:
    verdict = await store.settled(command_id)
    if verdict is None:
        return "it waits for a worker, or for GitHub"
    refused = verdict.startswith("refused")
    if (
        isinstance(command, StartJob)
        and not refused
        and (id_ := (await store.submitted(command_id)).job_id)
    ):
        try:
            job = await store.load(id_)
        except JobUnknown:
            return verdict
        end = f": {job.end.summary}" if job.end else ""
        return f"{verdict}; job {id_} {'is ' if not job.ended else ''}{job.state}{end}"
    return verdict


def _who(command: Command) -> str:
    if isinstance(command, Several):
        return "several commands"
    return f"{command.actor.login} said {_said(command)}"


def _said(command: Command) -> str:
    match command:
        case StartJob(text=text, plan_only=plan_only):
            return f"“{'plan ' if plan_only else ''}{_short(text)}”"
        case AcceptPlan(digest=digest):
            return f"“accept {digest[:8]}”" if digest else "“accept”"
        case RevisePlan(text=text):
            return f"“revise {_short(text)}”"
        case Steer(text=text):
            return f"“{_short(text)}” to the agent"
        case CancelJob():
            return "“stop”"
        case RetryJob():
            return "“retry”"
        case SetBudget(usd=usd):
            return f"“budget {usd}”"
        case AskStatus():
            return "“status”"
        case AskWhy():
            return "“why”"
        case Explain(said=said):
            return f"“{_short(said)}”"
        case OpenPull():
            return "to open the pull request"
        case Forget():
            return "that the App is uninstalled"
        case EndSessions():
            return "that the App may not act for them"
        case Several():
            return "several things"
        case _:
            assert_never(command)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= WORDS else f"{line[: WORDS - 1]}…"
