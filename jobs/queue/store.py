"""Everything that must outlive a process, in Redis: deliveries, commands, jobs, journals.

Each change is one Lua script (scripts.py), so there is no half-made state to find after a crash,
and each may be sent again over a connection that broke, because redis-py does exactly that.
Times are seconds since the epoch, UTC.
"""

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from arq.connections import ArqRedis
from arq.jobs import serialize_job
from pydantic import ValidationError

from jobs.commands import (
    COMMAND,
    About,
    AskStatus,
    AskWhy,
    Command,
    EndSessions,
    Explain,
    Forget,
    RetryJob,
    Several,
    StartJob,
)
from jobs.events import (
    EVENT,
    Approved,
    Budgeted,
    CancelAsked,
    Finished,
    JobEvent,
    Noted,
    Planned,
    Received,
    Revised,
    Steered,
    StepCommitted,
    StepSkipped,
)
from jobs.job import Job, fold
from jobs.queue import scripts
from jobs.queue.connection import Scripts, to_json, told
from jobs.queue.connection import connect as connect
from jobs.queue.errors import (
    CommandUnknown,
    Conflict,
    JobUnknown,
    JournalFull,
    LeaseLost,
    Newer,
)

ENTRY_FUNCTION = "act"  # arq deletes jobs whose function it does not know, so this name stays

DELIVERY_KEPT = 3 * 86_400  # GitHub redelivers for three days
RECORD_KEPT = 7 * 86_400
JOURNAL_KEPT = 86_400
FORGET_SECONDS = 3_600
MARKING_SECONDS = 20  # after which a worker that looked for lost work is taken for dead
ENTRY_KEPT_MS = 30 * 86_400_000  # an entry whose payload is gone is made anew by the sweep
NOTES_KEPT = 2_000
JOURNAL_BYTES = 8_000_000
VERDICT_CHARS = 1_000
FULL = 0.85  # of Redis's memory: beyond it no new jobs, so that the running ones can go on
MOST_KNOWN = 100  # jobs that a process remembers; a job may hold some hundred kilobytes
MOST_COUNTED = 1_000  # entries of the queue that are told apart
MOST_OPEN = 100  # jobs of one installation that wait in the queue or run

Kind = Literal["settle", "run"]
NoRoom = Literal["", "store", "installation"]


def job_id_of(key: str) -> str:
    """The job that a StartJob with this key makes: "j" and 20 hex digits."""
    return "j" + hashlib.sha256(key.encode()).hexdigest()[:20]


def command_id_of(key: str) -> str:
    """The id of the command with this key: "c" and 20 hex digits."""
    return "c" + hashlib.sha256(key.encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook delivery as GitHub sent it."""

    guid: str  # X-GitHub-Delivery
    event: str  # X-GitHub-Event
    body: bytes
    received_at: float


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a delivery."""

    guid: str
    event: str
    received_at: float
    verdict: str | None  # None: nobody read it yet
    command_id: str  # empty: none followed from it
    repository_id: int  # 0: it does not name us


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a command that was handed in."""

    command_id: str
    job_id: str | None  # the job that it made or names
    new: bool  # False: the same command came before
    busy: str | None  # StartJob only: the active job of the issue, so that no new one was made
    # StartJob only: no new one was made, because the store is nearly full, or because the
    # installation has as many open as it may.
    no_room: NoRoom = ""


class Store:
    """The store, over a pool made by `connect`.

    Methods raise StoreUnreachable where Redis stayed away longer than the pool's patience, and
    StoreFull where it has no memory left.
    """

    def __init__(self, redis: ArqRedis) -> None:
        self.redis = redis
        # Jobs as they were when they were last read: most of a job's events are old ones.
        self._known: OrderedDict[str, tuple[str, Job]] = OrderedDict()
        texts = {
            name: scripts.PRELUDE + text
            for name, text in vars(scripts).items()
            if name.isupper() and name != "PRELUDE"
        }
        self.run = Scripts(redis, texts).run  # those of scripts.py; for this package

    async def ping(self) -> None:
        """Raises StoreUnreachable where Redis does not answer."""
        with told():
            await self.redis.ping()

    async def close(self) -> None:
        await self.redis.aclose(close_connection_pool=True)

    # Deliveries

    async def keep_delivery(self, delivery: Delivery) -> bool:
        """Keeps it until it is settled. False: this GUID was kept before, within three days."""
        kept = await self.run(
            "KEEP_DELIVERY",
            delivery.guid,
            delivery.event,
            delivery.body,
            repr(delivery.received_at),
        )
        return bool(kept)

    async def settle_delivery(
        self, guid: str, verdict: str, about: About | None = None, command_id: str = ""
    ) -> None:
        """Replaces the body by at most 1,000 characters about what became of it."""
        marks = []
        if about is not None and about.comment_id:
            marks.append(f"comment:{about.comment_id}")
        if about is not None and about.issue:
            marks.append(f"thread:{about.repository_id}#{about.issue}")
        repository = about.repository_id if about is not None else ""
        kept = verdict[:VERDICT_CHARS]
        await self.run("SETTLE_DELIVERY", guid, kept, DELIVERY_KEPT, command_id, repository, *marks)

    async def about_comment(self, comment_id: int) -> list[str]:
        """GUIDs of the deliveries of three days that are about the comment, newest first."""
        return await self._about(f"comment:{comment_id}")

    async def about_thread(self, repository_id: int, issue: int) -> list[str]:
        """The same for the last twenty of an issue or a pull request."""
        return await self._about(f"thread:{repository_id}#{issue}")

    async def _about(self, mark: str) -> list[str]:
        with told():
            guids = await self._await(self.redis.lrange(f"vc:about:{mark}", 0, -1))
        return [_text(guid) for guid in guids]

    async def delivery(self, guid: str) -> Told | None:
        """What is still known of a delivery; None: nothing."""
        with told():
            event, at, verdict, command, repository = await self._fields(
                f"vc:delivery:{guid}", "event", "received_at", "verdict", "command", "repository"
            )
        if event is None or at is None:
            return None
        return Told(
            guid,
            _text(event),
            float(at),
            None if verdict is None else _text(verdict),
            _text(command or b""),
            int(repository or 0),
        )

    async def unparsed(self, older_than: float, limit: int = 100) -> list[Delivery]:
        """Deliveries that nobody settled within `older_than` seconds, oldest first."""
        with told():
            guids = await self.redis.zrangebyscore(
                "vc:deliveries", "-inf", time.time() - older_than, start=0, num=limit
            )
            found: list[Delivery] = []
            for guid in map(_text, guids):
                event, body, at = await self._fields(
                    f"vc:delivery:{guid}", "event", "body", "received_at"
                )
                if event is None or body is None or at is None:
                    await self.redis.zrem("vc:deliveries", guid)
                else:
                    found.append(Delivery(guid, _text(event), body, float(at)))
            return found

    async def count_try(self, guid: str) -> int:
        """How often the delivery was tried to be parsed, this time included."""
        with told():
            return int(await self._await(self.redis.hincrby(f"vc:delivery:{guid}", "tries", 1)))

    async def verdict(self, guid: str) -> str | None:
        """What became of the delivery; None: not settled yet, or not known."""
        with told():
            (verdict,) = await self._fields(f"vc:delivery:{guid}", "verdict")
        return None if verdict is None else _text(verdict)

    # Commands

    async def submit(self, command: Command, now: float) -> Submitted:
        """Records the command and queues it for a worker, in one step; the same key counts once.

        A StartJob also makes its job, unless its issue has an active one (`busy` names it) or there
        is no room (`no_room`): the command waits for a worker all the same, who tells the person;
        one without a comment is told by the caller, and counts as never sent.
        """
        command_id = command_id_of(command.key)
        made: tuple[str | bytes | int, ...]
        match command:
            case StartJob(issue=issue, repository=repository, comment=comment):
                # A token is never used again, not even after Redis lost its data: the count starts
                # at the time, in milliseconds, and grows slower than time does.
                made = (
                    job_id_of(command.key),
                    _dump_event(Received(now, command)),
                    repository.id,
                    issue.number if issue else "",
                    command.actor.id,
                    int(now * 1000),
                    "" if comment else "1",
                )
            case (
                Explain()
                | AskStatus()
                | AskWhy()
                | RetryJob()
                | Several()
                | Forget()
                | EndSessions()
            ):
                # A retry's job is another one's than the one that it names.
                made = ("", "", "", "", "", int(now * 1000), "")
            case _:
                made = (command.job_id or "", "", "", "", "", int(now * 1000), "")
        new, job_id, busy, no_room = await self.run(
            "SUBMIT",
            command_id,
            COMMAND.dump_json(command),
            repr(now),
            _ms(),
            group_of(command),
            payload("settle", command_id),
            ENTRY_KEPT_MS,
            FULL,
            MOST_OPEN,
            *made,
        )
        return _submitted(command_id, new == 1, job_id, busy, no_room)

    async def restore(self, job_id: str, events: Sequence[JobEvent]) -> bool:
        """Makes a job of events that were found elsewhere, after Redis lost it.

        It goes on where it stood. False: there is such a job already. Raises ValueError where the
        events do not begin with Received.
        """
        job = fold(job_id, list(events))
        waits, issue = job.state == "awaiting_approval", job.issue
        made = await self.run(
            "RESTORE_JOB",
            job_id,
            repr(job.received_at),
            _ms(),
            group_of(job.command),
            f"vc:issue:{job.repository.id}#{issue.number}" if issue else "",
            job.command.actor.id,
            "1" if job.ended else "",
            "1" if waits else "",
            payload("run", job_id),
            ENTRY_KEPT_MS,
            RECORD_KEPT,
            *map(_dump_event, events),
        )
        return bool(made)

    async def marked(self) -> bool:
        """Whether this store has been in use: a new one, or one that lost all, is not marked."""
        with told():
            return bool(await self.redis.exists("vc:store"))

    async def begin_marking(self) -> str | None:
        """What `mark` takes; None while another worker is at it."""
        mark = os.urandom(8).hex()
        with told():
            first = await self.redis.set("vc:marking", mark, nx=True, ex=MARKING_SECONDS)
        return mark if first else None

    async def keep_marking(self, mark: str) -> bool:
        """To be called before each step. False: another worker began, or all was lost again."""
        with told():
            return await self.redis.get("vc:marking") == mark.encode() and bool(
                await self.redis.expire("vc:marking", MARKING_SECONDS)
            )

    async def end_marking(self, mark: str) -> None:
        """Lets another worker, or the next round, begin at once."""
        if await self.keep_marking(mark):
            with told():
                await self.redis.delete("vc:marking")

    async def mark(self, mark: str) -> bool:
        """False: another worker began after this one, or the store was emptied since."""
        return bool(await self.run("MARK", mark))

    async def submitted(self, command_id: str) -> Submitted:
        """What `submit` answered, for whoever settles the command. Raises CommandUnknown."""
        with told():
            job_id, busy, no_room = await self._fields(
                f"vc:rec:{command_id}", "job", "busy", "full"
            )
        if job_id is None or busy is None or no_room is None:
            raise CommandUnknown(f"There is no command {command_id}.")
        return _submitted(command_id, False, job_id, busy, no_room)

    async def command(self, command_id: str) -> Command:
        """Raises CommandUnknown."""
        with told():
            (record,) = await self._fields(f"vc:rec:{command_id}", "command")
        if record is None:
            raise CommandUnknown(f"There is no command {command_id}.")
        try:
            return COMMAND.validate_json(record)
        except ValidationError as error:
            raise _newer(error) from error

    async def received_at(self, command_id: str) -> float:
        """When an open command came in, in seconds since the epoch. Raises CommandUnknown."""
        with told():
            at = await self.redis.zscore("vc:commands", command_id)
        if at is None:
            raise CommandUnknown(f"There is no open command {command_id}.")
        return float(at)

    async def settle(self, command_id: str, verdict: str) -> None:
        """The command was followed or refused: it is not handed to a worker again."""
        if not await self.run("SETTLE", command_id, verdict[:VERDICT_CHARS], RECORD_KEPT):
            raise CommandUnknown(f"There is no command {command_id}.")

    async def settled(self, command_id: str) -> str | None:
        """The command's verdict; None: still open, or not known."""
        with told():
            (verdict,) = await self._fields(f"vc:rec:{command_id}", "verdict")
        return None if verdict is None else _text(verdict)

    async def unsettled(self, older_than: float = 0, limit: int = 100) -> list[str]:
        """Ids of commands that nobody settled within `older_than` seconds, oldest first."""
        with told():
            ids = await self.redis.zrangebyscore(
                "vc:commands", "-inf", time.time() - older_than, start=0, num=limit
            )
        return [_text(id_) for id_ in ids]

    # Jobs

    async def active_on(self, repository_id: int, issue: int) -> str | None:
        """The issue's job that has not ended."""
        with told():
            job_id = await self.redis.get(f"vc:issue:{repository_id}#{issue}")
        return None if job_id is None else _text(job_id)

    async def on_issue(self, repository_id: int, issue: int) -> AsyncIterator[str]:
        """Ids of the issue's jobs among the repository's last thousand, newest first."""
        with told():
            ids = await self.redis.zrevrange(f"vc:jobs:repository:{repository_id}", 0, 999)
        for id_ in map(_text, ids):
            with told():
                first = decoded(await self.redis.xrange(f"vc:events:{id_}", count=1))
            if not first or not isinstance(received := first[0][1], Received):
                continue
            thread = received.command.issue
            if thread is not None and thread.number == issue:
                yield id_

    async def history(self, job_id: str, after: str = "0") -> list[tuple[str, JobEvent]]:
        """The job's events after that event id, oldest first; empty for an unknown job."""
        with told():
            entries = await self.redis.xrange(f"vc:events:{job_id}", min=f"({after}")
        return decoded(entries)

    async def load(self, job_id: str) -> Job:
        """The job as its events tell it. Raises JobUnknown."""
        return (await self.read(job_id))[0]

    async def read(self, job_id: str) -> tuple[Job, str]:
        """The job and its last event's id, for `append(seen=…)`. Raises JobUnknown."""
        seen, job = self._known.pop(job_id, ("0", None))
        with told():
            pipe = self.redis.pipeline(transaction=False)
            pipe.hget(f"vc:rec:{job_id}", "last")
            pipe.exists(f"vc:events:{job_id}")
            last, there = await pipe.execute()
        unknown = JobUnknown(f"There is no job {job_id}; it may have ended over a week ago.")
        if last is None or not there:
            raise unknown
        if job is None or _text(last) != seen:
            news = await self.history(job_id, seen)
            if job is None or not news or isinstance(news[0][1], Received):
                # Not known yet, or lost and made anew since it was read.
                news = news if seen == "0" else await self.history(job_id)
                if not news:
                    raise unknown
                job = fold(job_id, [event for _, event in news])
            else:
                for _, event in news:
                    job = job.apply(event)
            seen = news[-1][0]
        self._known[job_id] = seen, job
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return job, seen

    async def append(
        self,
        job_id: str,
        events: Sequence[JobEvent],
        *,
        token: int | None = None,
        seen: str | None = None,
        cause: str = "",
        run: bool = False,
    ) -> str:
        """Adds events to the job, all or none, and returns the last one's id.

        `token`: the caller holds the job's lease with it. `seen`: the last event's id when the
        caller decided. `cause`: a command's id; a second append with the same cause does nothing.
        `run`: queue the job for a worker in the same step. A Finished frees the issue.

        Raises LeaseLost (another worker holds the job, or it was ended over this one's head),
        Conflict (something happened after `seen`), JobUnknown.
        """
        if not events:
            raise ValueError("there is nothing to append")
        answer, last = await self.run(
            "APPEND",
            job_id,
            "" if token is None else str(token),
            seen or "",
            os.urandom(6).hex(),
            cause,
            _ms(),
            "1" if run else "",
            payload("run", job_id),
            ENTRY_KEPT_MS,
            NOTES_KEPT,
            RECORD_KEPT,
            JOURNAL_KEPT,
            *(part for event in events for part in (_mark(event), _dump_event(event))),
        )
        match _text(answer):
            case "ok":
                return _text(last)
            case "lost":
                raise LeaseLost(f"Job {job_id} is no longer this worker's.")
            case "conflict":
                raise Conflict(f"Job {job_id} changed meanwhile; read it again.")
            case _:
                raise JobUnknown(f"There is no job {job_id}; it may have ended over a week ago.")

    async def caused(self, job_id: str, command_id: str) -> bool:
        """Whether an append with this cause was made: a command half settled before a crash."""
        with told():
            (event_id,) = await self._fields(f"vc:rec:{job_id}", f"did:{command_id}")
        return event_id is not None

    async def steered(self, job_id: str) -> str:
        """The id of the newest event that tells the agent something; empty where there is none."""
        with told():
            (event_id,) = await self._fields(f"vc:rec:{job_id}", "steered")
        return "" if event_id is None else _text(event_id)

    async def follow(self, job_id: str, after: str = "0") -> AsyncIterator[tuple[str, JobEvent]]:
        """The job's events after that id as they happen, up to its Finished.

        Raises JobUnknown. Each follower holds a connection of the pool while it waits.
        """
        key = f"vc:events:{job_id}"
        while True:
            with told():
                done, last = await self._fields(f"vc:rec:{job_id}", "done", "last")
                if last is None:
                    raise JobUnknown(f"There is no job {job_id}; it may have ended long ago.")
                # Shorter than the pool's socket timeout, which would take silence for a dead peer.
                answer = await self.redis.xread({key: after}, block=1 if done else 3_000)
            for _, entries in answer or []:
                for event_id, event in decoded(entries):
                    after = event_id
                    yield event_id, event
                    if isinstance(event, Finished):
                        return
            if done and not answer:
                return

    async def enqueue_run(self, job_id: str) -> None:
        """Queues the job for a worker, unless it waits in the queue already. Raises JobUnknown."""
        if not await self.run("ENQUEUE", job_id, _ms(), payload("run", job_id), ENTRY_KEPT_MS):
            raise JobUnknown(f"There is no job {job_id}; it may have ended over a week ago.")

    async def run_again(self, job_id: str) -> None:
        """Has the job run once more after whoever holds it now, or at once where nobody does."""
        await self.run("AGAIN", job_id, _ms(), payload("run", job_id), ENTRY_KEPT_MS)

    async def settle_again(self, command_id: str) -> None:
        """The same for a command, settled or not."""
        await self.run("AGAIN", command_id, _ms(), payload("settle", command_id), ENTRY_KEPT_MS)

    async def waiting(self, since: float, limit: int = 100) -> list[str]:
        """Ids of jobs that have waited for an approval since before then, oldest first."""
        with told():
            ids = await self.redis.zrangebyscore("vc:waiting", "-inf", since, start=0, num=limit)
        return [_text(id_) for id_ in ids]

    async def ahead(self, job_ids: Sequence[str]) -> dict[str, int]:
        """For each job how many others, waiting or running, came to the queue before it."""
        with told():
            pipe = self.redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.hget(f"vc:rec:{job_id}", "entry")
            entries = await pipe.execute()
            for entry in entries:
                pipe.zrank("arq:queue", entry or "")
            ranks = [rank or 0 for rank in await pipe.execute()]
            first = await self.redis.zrange("arq:queue", 0, min(max(ranks), MOST_COUNTED))
        # Commands are in the queue too, and through in a moment.
        jobs = [entry.startswith(b"j") for entry in first]
        return {
            job_id: sum(jobs[:rank]) + max(0, rank - len(jobs))
            for job_id, rank in zip(job_ids, ranks, strict=True)
        }

    async def of_installation(self, installation_id: int) -> list[str]:
        """Ids of the jobs that came through the installation, newest first, up to 5,000."""
        with told():
            key = f"vc:jobs:installation:{installation_id}"
            return [_text(id_) for id_ in await self.redis.zrevrange(key, 0, -1)]

    async def installations(self) -> dict[int, list[str]]:
        """The ids of the jobs that are kept, by installation."""
        found: dict[int, list[str]] = {}
        with told():
            async for key in self.redis.scan_iter(match="vc:jobs:installation:*"):
                id = int(_text(key).rpartition(":")[2])
                found[id] = await self.of_installation(id)
        return found

    async def forget(self, job_id: str) -> None:
        """Drops an ended job's conversations now, and all else that is kept of it within an hour.

        Until then whoever works on it can find out that it is over.
        """
        await self.run("FORGET", job_id, FORGET_SECONDS)

    async def wanted(self, job_id: str) -> bool:
        """Whether the job exists and has not ended, so that its sandbox must live."""
        with told():
            last, done = await self._fields(f"vc:rec:{job_id}", "last", "done")
        return last is not None and done is None

    async def jobs(
        self,
        limit: int = 50,
        *,
        repository_ids: Iterable[int] | None = None,
        actor_id: int | None = None,
    ) -> list[Job]:
        """Jobs of all, of those repositories or of that actor, newest first."""
        if repository_ids is not None:
            indexes = [f"vc:jobs:repository:{id_}" for id_ in repository_ids]
        else:
            indexes = ["vc:jobs" if actor_id is None else f"vc:jobs:actor:{actor_id}"]
        at: dict[str, float] = {}
        with told():
            for index in indexes:
                for job_id, score in await self.redis.zrevrange(
                    index, 0, limit - 1, withscores=True
                ):
                    at[_text(job_id)] = score
        found: list[Job] = []
        for job_id in sorted(at, key=lambda id_: at[id_], reverse=True):
            if len(found) == limit:
                break
            try:
                job = await self.load(job_id)
            except JobUnknown:  # its time is over; the indexes forget it here
                with told():
                    for index in indexes:
                        await self.redis.zrem(index, job_id)
                continue
            except Newer:
                continue  # until the upgrade is through
            if actor_id is None or job.command.actor.id == actor_id:
                found.append(job)
        return found

    # The journal: conversations, so that a job can be resumed. What an entry holds: journal.py

    async def journal_add(self, job_id: str, conversation: str, entry: bytes, token: int) -> None:
        """Raises LeaseLost, and JournalFull beyond 8 MB a job."""
        answer = await self.run(
            "JOURNAL",
            job_id,
            str(token),
            os.urandom(6).hex(),
            conversation.encode() + b"\0" + entry,
            JOURNAL_BYTES,
            JOURNAL_KEPT,
        )
        match _text(answer):
            case "lost":
                raise LeaseLost(f"Job {job_id} is no longer this worker's.")
            case "full":
                raise JournalFull(
                    "This job's conversation grew beyond what is kept to resume it after a crash."
                )

    async def journal(self, job_id: str, conversation: str) -> list[bytes]:
        """The conversation's entries, in order; empty a day after the job's end."""
        with told():
            entries = await self._await(self.redis.lrange(f"vc:journal:{job_id}", 0, -1))
        mark = conversation.encode() + b"\0"
        kept = [entry[12:] for entry in entries]  # 12: the hex digits of one append
        return [entry.removeprefix(mark) for entry in kept if entry.startswith(mark)]

    # Small receipts, and who is there

    async def workers(self) -> list[str]:
        """Names of the workers that were alive within the last lease."""
        with told():
            return [_text(key)[10:] async for key in self.redis.scan_iter(match="vc:worker:*")]

    async def remember(self, key: str, value: str, seconds: float) -> str:
        """Keeps `value` unless there is one already; returns the one that stands."""
        with told():
            await self.redis.set(f"vc:memo:{key}", value, nx=True, px=int(seconds * 1000))
            standing = await self.redis.get(f"vc:memo:{key}")
        return value if standing is None else _text(standing)

    async def recall(self, key: str) -> str | None:
        """What was remembered, while it is."""
        with told():
            value = await self.redis.get(f"vc:memo:{key}")
        return None if value is None else _text(value)

    async def _fields(self, key: str, *fields: str) -> list[bytes | None]:
        return cast(list[bytes | None], await self._await(self.redis.hmget(key, list(fields))))

    @staticmethod
    async def _await(answer: Awaitable[Any] | Any) -> Any:
        return await answer  # redis-py types its commands for both of its clients


def group_of(command: Command) -> str:
    """Whose turn the command and its job take in the queue: "<installation>.<repository>"."""
    if isinstance(command, Forget):
        return f"{command.installation_id}.0"
    if isinstance(command, EndSessions):
        return "0.0"
    return f"{command.repository.installation_id}.{command.repository.id}"


def _submitted(command_id: str, new: bool, job_id: bytes, busy: bytes, no_room: bytes) -> Submitted:
    why: dict[str, NoRoom] = {"1": "store", "2": "installation"}
    return Submitted(
        command_id,
        _text(job_id) or None,
        new,
        _text(busy) or None,
        no_room=why.get(_text(no_room), ""),
    )


def payload(kind: Kind, id_: str) -> bytes:
    """What arq finds under an entry: a call of our one function."""
    return serialize_job(ENTRY_FUNCTION, (kind, id_), {}, None, _ms(), serializer=to_json) or b""


def _mark(event: JobEvent) -> str:
    """What the record must learn of an event."""
    match event:
        case Noted():
            return "note"
        case Planned(waits=True):
            return "waits"
        case Approved() | Revised():
            return "approved"  # or sent back: either way it waits for nobody now
        case Planned() | StepCommitted() | StepSkipped():
            return "progress"
        case Steered() | Budgeted():
            return "steer"  # whoever works on it has to look
        case CancelAsked():
            return "cancel"
        case Finished():
            return "end"
        case _:
            return ""


def _dump_event(event: JobEvent) -> bytes:
    return EVENT.dump_json(event)


def decoded(entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[tuple[str, JobEvent]]:
    """Entries of a job's stream. Raises Newer."""
    try:
        return [(_text(id_), EVENT.validate_json(fields[b"e"])) for id_, fields in entries]
    except ValidationError as error:
        raise _newer(error) from error


def _newer(error: ValidationError) -> Exception:
    """What a record means that we cannot read: mostly, that a newer version wrote it."""
    if all(fault["type"] == "union_tag_invalid" for fault in error.errors(include_input=False)):
        return Newer(
            "A newer version of this service wrote that, and this one cannot read it. "
            "Try again when the upgrade is through."
        )
    return error


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def _ms() -> int:
    return time.time_ns() // 1_000_000
