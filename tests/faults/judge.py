"""What must be true when everything is over, whatever died on the way.

Judged on the loopback GitHub's state and log of effects, on the store and on the list of sandboxes;
never on what the service says of itself.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from difflib import ndiff
from pathlib import Path
from typing import Literal

from jobs.events import Claimed, Finished, JobEvent, StepCommitted
from jobs.forge import render
from jobs.job import Job, fold
from jobs.notify import notice
from jobs.queue.store import Store
from tests.faults.ground import STEPS, Asked, Ground
from tests.faults.left import left_running
from tests.faults.processes import Process
from tests.faults.script import content_of, file_of
from vibecoder.compose.web import PHONE
from vibecoder.local.github import bare

# lost: no end, work that is gone; doubled: there twice; stale: an old owner's word stands; left:
# something that nobody needs any more; failed: an end, but not a good one
Kind = Literal["lost", "doubled", "stale", "left", "failed"]
TURNS = 2 + 3 * STEPS + 1  # of tests/faults/script.py
_TRAILER = re.compile(rf"^Vibecode-Step: (\d+)/{STEPS}\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it must be."""

    kind: Kind
    about: str
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.about}: {self.words}"


async def judge(ground: Ground, asked: list[Asked]) -> list[Fault]:
    """Everything that is wrong with these requests, and with what is left over."""
    faults: list[Fault] = []
    histories = [(each, await _history(ground, each)) for each in asked]
    for each, events in histories:
        # A request on an issue that had one before may have become a job of its own.
        beside = [
            fold(other.job_id, told)
            for other, told in histories
            if told and other is not each and other.repository is each.repository
        ]
        found = await _judge_one(ground, each, events, beside)
        faults += [Fault(kind, str(each), words) for kind, words in found]
    return faults + await left_over(ground) + _left_running(ground)


def _left_running(ground: Ground) -> list[Fault]:
    serving = [ground.processes.web, *ground.processes.workers]
    wanted = {each.running.pid for each in serving if each.running} | {ground.server.running.pid}
    return [
        Fault("left", "everything is over", words) for words in left_running(ground.folder, wanted)
    ]


async def _history(ground: Ground, asked: Asked) -> list[JobEvent]:
    return [event for _, event in await ground.store.history(asked.job_id)]


async def _judge_one(
    ground: Ground, asked: Asked, events: list[JobEvent], beside: list[Job]
) -> list[tuple[Kind, str]]:
    answered = ground.answered(asked)
    if not events:
        # Of two on one issue the later one may come first, because of a delivery that was lost.
        if answered and (beside or ground.fills):
            return []  # that a job is at work there, or that there is no room
        said = "was acknowledged" if ground.acknowledged(asked) else "never got through"
        return [("lost", f"the request {said}, and there is no job")]
    found: list[tuple[Kind, str]] = []
    if answered:
        found.append(("doubled", "it was answered in a comment, and is a job as well"))
    job = fold(asked.job_id, events)
    # A stop is said on the issue, and may come when another of its jobs is at work.
    stopped = asked.repository.full_name in ground.stops
    found += _of_record(job, events, stopped)
    found += await _of_other_jobs(ground.store, asked, beside)
    found += _of_threads(ground, asked, job, beside)
    found += _of_branch(ground, asked, job, beside)
    found += _of_pulls(ground, asked, job, beside)
    found += _of_checks(ground, asked, job, beside)
    found += _of_news(ground, job, events)
    found += _of_owners(ground, asked, job, events)
    found += _of_turns(ground, asked, events, beside)
    return found


def _of_record(job: Job, events: list[JobEvent], stopped: bool) -> list[tuple[Kind, str]]:
    found: list[tuple[Kind, str]] = []
    ends = [event for event in events if isinstance(event, Finished)]
    if not ends:
        found.append(("lost", f"it never ended, and is {job.state}"))
    elif len(ends) > 1:
        found.append(("doubled", f"it ended {len(ends)} times"))
    elif stopped and job.state == "cancelled":
        pass  # as was asked; where the word came too late, it succeeded
    elif job.state != "succeeded" and not _poisoned(ends[0], events):
        found.append(("failed", f"it {job.state}: {ends[0].summary}"))
    numbers = [event.number for event in events if isinstance(event, StepCommitted)]
    if numbers != list(range(1, len(numbers) + 1)):
        found.append(("doubled", f"its record has the steps {numbers}"))
    tokens = [event.token for event in events if isinstance(event, Claimed)]
    if tokens != sorted(set(tokens)):
        found.append(("stale", f"its fencing tokens do not grow: {tokens}"))
    return found


def _poisoned(end: Finished, events: list[JobEvent]) -> bool:
    """Given up because it really lost its worker three times without getting any further."""
    claims = sum(isinstance(event, Claimed) for event in events)
    return end.summary.startswith("The worker died three times") and claims >= 3


async def _of_other_jobs(store: Store, asked: Asked, beside: list[Job]) -> list[tuple[Kind, str]]:
    jobs = await store.jobs(repository_ids=[asked.repository.id])
    known = {asked.job_id, *(job.id for job in beside)}
    others = [job.id for job in jobs if job.id not in known]
    return [("doubled", f"the same request made other jobs: {others}")] if others else []


def _of_threads(
    ground: Ground, asked: Asked, job: Job, beside: list[Job]
) -> list[tuple[Kind, str]]:
    """One sticky comment a thread, which says what the record says; one receipt."""
    found: list[tuple[Kind, str]] = []
    bot = ground.world.app.bot
    url = ground.processes.url if PHONE.is_dir() else None
    wanted = {asked.issue.number: render.issue_comment(job, url)} if asked.issue else {}
    if job.pull is not None:
        wanted[job.pull.number] = render.pull_comment(job, url)
    stops = ground.stops.get(asked.repository.full_name, ())
    answers = [f"<!-- vibecoder:reply-{said} -->" for said in stops]
    if asked.issue is not None:  # to another request on it, that a job is at work there
        others = [said for said in asked.issue.comments if said != asked.comment_id]
        answers += [f"<!-- vibecoder:reply-{said} -->" for said in others]
    theirs = tuple(f"<!-- vibecoder:job:{other.id} -->" for other in beside)
    for number, thread in asked.repository.issues.items():
        ours = [each for each in thread.comments.values() if each.author is bot]
        sticky = [each for each in ours if each.body.startswith(f"<!-- vibecoder:job:{job.id} -->")]
        if len(sticky) > 1:
            found.append(("doubled", f"#{number} has {len(sticky)} comments of the job"))
        elif not sticky and number in wanted:
            found.append(("lost", f"#{number} has no comment of the job"))
        elif number in wanted:
            said = sticky[-1].body.partition("\n")[2].partition("\n\n<!-- vibecoder:memo:")[0]
            if said != wanted[number] and not _said_before(ground, job, said):
                differs = _differs(said, wanted[number])
                found.append(("stale", f"#{number} does not say how it is: {differs}"))
        for other in ours:
            if other.body.partition("\n")[0] in answers:
                answers.remove(other.body.partition("\n")[0])  # once each
            elif other not in sticky and not other.body.startswith(theirs):
                found.append(("doubled", f"#{number} also says: {_first(other.body)}"))
    if asked.issue is None or asked.comment_id is None:
        return found
    comment = asked.issue.comments[asked.comment_id]
    eyes = [each for each in comment.reactions if each.account is bot]
    if len(eyes) != 1:
        found.append(("doubled" if eyes else "lost", f"the comment has {len(eyes)} receipts"))
    return found


def _said_before(ground: Ground, job: Job, said: str) -> bool:
    """Whether another version may have put the end into words that ours would not choose."""
    return ground.old is not None and job.end is not None and job.end.summary in said


def _of_branch(ground: Ground, asked: Asked, job: Job, beside: list[Job]) -> list[tuple[Kind, str]]:
    """One branch, with each step's commit once, in order, and every file as it was written."""
    found: list[tuple[Kind, str]] = []
    folder = asked.repository.folder
    tips = bare.branches(folder)
    others = {asked.repository.default_branch, *(other.branch for other in beside)}
    ours = {name: sha for name, sha in tips.items() if name not in others}
    if asked.issue is None and ground.losses:
        # Lost before its pull request was open, a wish leaves a branch that nothing tells of.
        ours = {name: sha for name, sha in ours.items() if name == job.branch}
    if not ours:
        return [("lost", "there is no branch")] if job.state == "succeeded" else []
    if len(ours) > 1:
        found.append(("doubled", f"there are {len(ours)} branches: {sorted(ours)}"))
    head = ours.get(job.branch)
    if head is None:
        return [*found, ("lost", f"the branch {job.branch} is gone")]
    base = tips[asked.repository.default_branch]
    shas = bare.history(folder, head, without=base, oldest_first=True)
    messages = [bare.commit(folder, sha).message for sha in shas]
    numbers = [int(n) for message in messages for n in _TRAILER.findall(message)]
    wanted = list(range(1, STEPS + 1))
    if (job.state == "succeeded" and numbers != wanted) or numbers != wanted[: len(shas)]:
        kind: Kind = "doubled" if len(numbers) > len(set(numbers)) else "lost"
        found.append((kind, f"its {len(shas)} commits are the steps {numbers}"))
    if list(shas) != [commit.sha for commit in job.commits]:
        found.append(("stale", "the record's commits are not the branch's"))
    if job.state == "succeeded":
        for number in wanted:
            data = bare.git(folder, "show", f"{head}:{file_of(number)}")
            if data != content_of(number).encode():
                found.append(("lost", f"{file_of(number)} is not as it was written"))
        trail = bare.git(folder, "show", f"{head}:trail.txt").split()
        if trail != [str(number).encode() for number in wanted]:
            found.append(("doubled", f"the commands left the trail {trail}"))
    return found


def _of_pulls(ground: Ground, asked: Asked, job: Job, beside: list[Job]) -> list[tuple[Kind, str]]:
    found: list[tuple[Kind, str]] = []
    theirs = {other.pull.number for other in beside if other.pull}
    pulls = [
        each
        for each in asked.repository.issues.values()
        if each.pull is not None and each.number not in theirs
    ]
    if len(pulls) > 1:
        found.append(("doubled", f"there are {len(pulls)} pull requests"))
    elif not pulls:
        return [("lost", "there is no pull request")] if job.commits else []
    pull = pulls[0]
    if pull.state != "open" or not pull.pull or not pull.pull.draft:
        found.append(("stale", f"its pull request is {pull.state}, and no draft"))
    if job.pull is None or job.pull.number != pull.number:
        found.append(("lost", f"its record does not know of the pull request #{pull.number}"))
    elif pull.body != render.pull_body(job) and ground.old is None:
        found.append(("stale", f"#{pull.number}'s body does not say how it is"))
    return found


def _of_checks(ground: Ground, asked: Asked, job: Job, beside: list[Job]) -> list[tuple[Kind, str]]:
    """One run of each name a head; all of them over, the last with the job's conclusion."""
    found: list[tuple[Kind, str]] = []
    theirs = {commit.sha for other in beside for commit in other.commits}
    for suite in asked.repository.suites.values():
        if suite.head_sha in theirs:
            continue
        # A run cannot be deleted, so twins by a frozen worker's late request stay. What they say
        # must be the same, because GitHub shows only one of them.
        said = {(run.name, run.conclusion, run.title, run.summary) for run in suite.runs.values()}
        names = Counter(name for name, *_ in said)
        short = suite.head_sha[:8]
        found += [
            ("doubled", f"{short} has {count} check runs named {name} that disagree")
            for name, count in names.items()
            if count > 1
        ]
        found += [
            ("stale", f"the check run {run.name} of {short} is {run.status} for ever")
            for run in suite.runs.values()
            if job.ended and run.status != "completed"
        ]
        wanted = render.check(job).title
        if job.commits and suite.head_sha == job.head_sha:
            if not suite.runs:
                found.append(("lost", f"{short}, the last commit, has no check run"))
            found += [
                ("stale", f"the check run of {short} says {run.conclusion}: {run.title}")
                for run in suite.runs.values()
                if run.name == "vibecode" and run.title != wanted and ground.old is None
            ]
    return found


def _of_news(ground: Ground, job: Job, events: list[JobEvent]) -> list[tuple[Kind, str]]:
    """That it ended was told; twice, perhaps, where its teller died, but never not at all."""
    history = [(str(number), event) for number, event in enumerate(events)]
    end = next((id_ for id_, event in history if isinstance(event, Finished)), "")
    found = notice(job.id, history, end)
    # The outbox is in Redis alone, and an older version may know nothing of it.
    if found is None or not found.public or ground.losses or ground.old:
        return []
    if found.title in ground.topic.of(job.id):
        return []
    return [("lost", f"nobody was told: {found.title}")]


def _of_owners(
    ground: Ground, asked: Asked, job: Job, events: list[JobEvent]
) -> list[tuple[Kind, str]]:
    """No push by an old owner once the new one has pushed."""
    owners = [
        (event.at, owner.name)
        for event in events
        if isinstance(event, Claimed)
        and (owner := ground.processes.of_pid(int(event.worker.split("-")[-2])))
    ]
    texts = {token.id: text for text, token in ground.world.tokens.items()}
    pushed: dict[tuple[float, str], bool] = {}  # claims whose owner has pushed
    found: list[tuple[Kind, str]] = []
    branch = f"{asked.repository.full_name}@refs/heads/{job.branch}"
    for at, effect in zip(ground.effects.times, ground.effects, strict=True):
        if effect.verb != "push" or effect.target != branch:
            continue
        process = ground.gate.holders.get(texts.get(effect.token_id or 0, ""), "")
        now = next((claim for claim in reversed(owners) if claim[0] <= at), None)
        if now is None:
            continue
        if now[1] == process:
            pushed[now] = True
        elif pushed.get(now):
            found.append(("stale", f"{process} pushed after {now[1]}, its successor, had"))
    return found


async def left_over(ground: Ground) -> list[Fault]:
    """Queue entries, locks, sandboxes, clones that nobody needs any more."""
    store = ground.store
    left: list[str] = []
    for pattern in ("arq:in-progress:*", "arq:job:*", "vc:running:*"):
        left += [key.decode() async for key in store.redis.scan_iter(match=pattern)]
    for queue in ("arq:queue", "vc:active", "vc:commands", "vc:deliveries", "vc:outbox"):
        if count := await store.redis.zcard(queue):
            left.append(f"{count} in {queue}")
    left += [f"the sandbox {name}" for name in await ground.sandboxes()]
    for process in ground.processes.workers:
        left += [f"{process.name}'s clone {each.name}" for each in clones_of(ground, process)]
    return [Fault("left", "everything is over", words) for words in left]


def _of_turns(
    ground: Ground, asked: Asked, events: list[JobEvent], beside: list[Job]
) -> list[tuple[Kind, str]]:
    """Each owner may ask again for what was under way, not for what the one before was told."""
    turns = sum(asked.repository.full_name in request.task for request in ground.stage.requests)
    claims = sum(isinstance(event, Claimed) for event in events)
    # Above the turns of a job that nothing happens to: those under way, those that answer a lost
    # call, and some that the model itself failed at.
    # Conversations are in Redis alone, so a job may begin them anew after each loss of it.
    most = (TURNS + 4 * claims + 4) * (1 + ground.losses) * (1 + len(beside))
    return [("doubled", f"the model was asked {turns} times")] if turns > most else []


def clones_of(ground: Ground, process: Process) -> list[Path]:
    """The git folders that lie in a worker's place for clones."""
    place = ground.folder / process.name / "clones"
    return [Path(root) for root, folders, _ in os.walk(place) if "objects" in folders]


def _differs(said: str, wanted: str) -> str:
    lines = [line for line in ndiff(wanted.splitlines(), said.splitlines()) if line[0] in "+-"]
    return " / ".join(line[:100] for line in lines[:4])


def _first(text: str) -> str:
    return text.strip().partition("\n")[0][:100]
