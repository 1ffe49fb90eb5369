"""Everything that we say on GitHub: `Job` to Markdown, one function per message. Pure.

Each is a complete rendering from the job alone, so that any worker can write it again. What is not
our own wording goes through encode.py.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from agent.plan import Plan, Step
from jobs.events import Finished, StepCommitted
from jobs.forge import proof
from jobs.forge.encode import (
    cell_code,
    code,
    fence,
    inline,
    one_line,
    plain,
    plain_lines,
    prose,
    sentence,
)
from jobs.forge.encode import quote as quoted
from jobs.forge.pieces import (
    COMMENT_ROOM,
    beside,
    budget,
    bullets,
    cost,
    count,
    duration,
    together,
    watch_url,
)
from jobs.job import Job

SHORT = 7  # digits of a commit's sha that GitHub makes a link of
ROWS = 30
WORDS = 5  # that people said meanwhile, the newest


@dataclass(frozen=True, slots=True)
class CheckText:
    title: str  # plain text
    summary: str
    text: str


# ── the comment on the issue ──────────────────────────────────────────────────────────────────────


def issue_comment(job: Job, public_url: str | None = None) -> str:
    """The one comment on the issue, in every state: whoever asked, and all who follow, see it."""
    parts = [_asked(job), *standing(job)]
    return together(parts, end=_footer(job, public_url), room=COMMENT_ROOM)


def standing(job: Job, *, brief: bool = False) -> list[str]:
    """Where the job stands, in blocks; `brief`: without the text of a plan that waits."""
    if job.end is not None:
        return _ended(job, job.end, elsewhere=True)
    if job.state == "awaiting_approval" and job.plan is not None:
        return [
            "### A plan is waiting for your word",
            *([f"**{inline(job.plan.title, 200)}**"] if brief else plan_text(job.plan)),
            f"To go on: `/vibecode accept {job.digest[:8]}`. To drop it: `/vibecode stop`.\n"
            "To have it otherwise: `/vibecode revise` and what to change.",
        ]
    if job.plan is None:
        return [_before_the_plan(job), _note(job)]
    return [
        _heading(job, job.plan),
        inline(job.plan.title, 200),
        checklist(job, job.plan),
        *_now(job),
    ]


def _asked(job: Job) -> str:
    asked = f"{inline(job.command.actor.login, 60)} asked:\n{quoted(job.command.text, 1_500)}"
    more = [
        f"{inline(word.actor.login, 60)} said:\n{quoted(word.text, 500)}"
        for word in job.words[-WORDS:]
    ]
    return "\n\n".join([asked, *more])


def _before_the_plan(job: Job) -> str:
    if job.state == "queued":
        return "### Queued\n\nWork begins as soon as a worker is free."
    if not job.branch:
        return "### Getting the code"
    return f"### Planning\n\nReading the code at {job.base_sha[:SHORT]}, {code(job.base, 200)}."


def _heading(job: Job, plan: Plan) -> str:
    if job.state == "queued":
        by = f" {inline(job.approved_by.login, 60)} accepted the plan." if job.approved_by else ""
        return f"### Queued\n\nWork goes on as soon as a worker is free.{by}"
    if job.cancelled_by is not None:
        return f"### Stopping, as {inline(job.cancelled_by.login, 60)} asked"
    return f"### Working: step {max(job.step, 1)} of {len(plan.steps)}"


def _now(job: Job) -> list[str]:
    """What is happening at this moment: the last words, the last command, the pull request."""
    parts = [_note(job)]
    if job.runs:
        parts.append(f"Last command: {code(job.runs[-1].command, 300)} ({_exit(job)})")
    if job.pull is not None:
        parts.append(f"Draft pull request: #{job.pull.number}")
    return parts


def _note(job: Job) -> str:
    return f"*Now:* {inline(job.note, 300)}" if job.note else ""


def _exit(job: Job) -> str:
    run = job.runs[-1]
    took = duration(run.seconds)
    return f"killed after {took}" if run.exit_code is None else f"exit {run.exit_code} in {took}"


def _ended(job: Job, end: Finished, *, elsewhere: bool) -> list[str]:
    """The last word; `elsewhere`: not on the pull request itself."""
    said = prose(end.summary, 4_000)
    if end.outcome == "succeeded" and not job.commits:
        return ["### Nothing was changed", said, "So there is no pull request."]
    where = _kept(job)
    steps = checklist(job, job.plan) if job.plan is not None and job.commits else ""
    match end.outcome:
        case "succeeded":
            where = f": draft pull request #{job.pull.number}" if job.pull and elsewhere else ""
            return [f"### Done{where}", said, steps, verdict(job), not_done(job)]
        case "failed":
            heading = "### This did not work"
        case "stopped":
            heading = "### Stopped at a limit"
        case "cancelled":
            heading = "### Stopped on request"
    return [heading, said, where, steps, not_done(job), _again(job)]


def _kept(job: Job) -> str:
    if not job.commits:
        return "Nothing was pushed."
    commits = count(len(job.commits), "commit")
    if job.pull is not None:
        return f"What was done until then is kept: {commits} in #{job.pull.number}."
    return f"What was done until then is kept: {commits} on branch {code(job.branch, 200)}."


def _again(job: Job) -> str:
    if job.issue is None:
        return ""
    if job.end is not None and job.end.outcome == "stopped":
        return (
            "To try again: `/vibecode retry`. With another ceiling, in dollars: "
            "`/vibecode budget 5`."
        )
    return "To try again: `/vibecode retry`, or `/vibecode` with what to do."


def patch_comments(job: Job) -> list[str]:
    """A commit that could not be pushed, as comments of its own."""
    if job.rescued is None:
        return []
    parts, texts = job.rescued.parts, list[str]()
    for number, part in enumerate(parts, 1):
        lines = "\n".join(textwrap.wrap(part, 76))
        which = f", part {number} of {len(parts)}" if len(parts) > 1 else ""
        texts.append(
            f"### A commit that could not be pushed{which}\n\n"
            f"It belongs on {job.rescued.parent[:SHORT]}. Save the block"
            f"{'s of all parts, one after another,' if len(parts) > 1 else ''} as `commit.b64`, "
            "then: `base64 -d commit.b64 | gunzip | git am --keep-cr`\n\n"
            f"<details><summary>commit.b64</summary>\n\n```\n{lines}\n```\n</details>"
        )
    return texts


# ── the plan ──────────────────────────────────────────────────────────────────────────────────────


def plan_text(it: Plan) -> list[str]:
    """A plan for the person who decides on it: what, why, in which steps, and what not."""
    steps = "\n".join(_plan_step(number, step) for number, step in enumerate(it.steps, 1))
    parts = [f"**{inline(it.title, 200)}**", prose(it.summary, 4_000)]
    if it.root_cause:
        parts += [f"**Cause.** {beside(prose(it.root_cause, 2_000))}", _evidence(it)]
    parts += ["**Steps**", steps]
    if it.verification:
        parts.append(bullets("How it will be verified", it.verification, 300, as_code=True))
    parts += [bullets("Risks", it.risks), bullets("Left out on purpose", it.out_of_scope)]
    if it.questions:
        lines = []
        for question in it.questions[:10]:
            line = f"- {sentence(question.text, 500)}"
            if question.options:
                line += " (" + " / ".join(sentence(o, 100) for o in question.options[:6]) + ")"
            if question.default:
                line += f" Without an answer: {sentence(question.default, 200)}."
            lines.append(line)
        parts.append("**Questions**\n" + "\n".join(lines))
    return parts


def _plan_step(number: int, step: Step) -> str:
    lines = [f"{number}. **{inline(step.title, 200)}**  "]
    if step.intent:
        lines.append(f"   {sentence(step.intent, 800)}  ")
    if step.files:
        files = ", ".join(code(path, 150) for path in step.files[:10])
        more = f" and {len(step.files) - 10} more" if len(step.files) > 10 else ""
        lines.append(f"   Files: {files}{more}  ")
    if step.done_when:
        lines.append(f"   Done when: {sentence(step.done_when, 300)}")
    return "\n".join(lines).rstrip()


def _evidence(it: Plan) -> str:
    places = ", ".join(code(place, 200) for place in it.evidence[:10])
    return f"Seen in {places}." if places else ""


def checklist(job: Job, plan: Plan) -> str:
    """The steps with their marks: ✓ committed, ▸ in work, ○ to come, – nothing to change, ✗ not."""
    commits = {commit.number: commit for commit in job.commits}
    lines = []
    for number, step in enumerate(plan.steps, 1):
        commit = commits.get(number)
        sha = f" {commit.sha[:SHORT]}" if commit else ""
        lines.append(f"- {_mark(job, number, commit)} {sentence(step.title, 200)}{sha}")
    return "\n".join(lines)


def _mark(job: Job, number: int, commit: StepCommitted | None) -> str:
    if commit is not None:
        return "✓"
    if number <= job.steps_done or (job.end is not None and job.end.outcome == "succeeded"):
        return "–"
    if job.end is not None:
        return "✗" if number == job.step else "○"
    return "▸" if number == job.step and job.state == "running" else "○"


# ── the pull request ──────────────────────────────────────────────────────────────────────────────


def pull_title(job: Job) -> str:
    """The pull request's title; a squashed merge makes it a commit's subject."""
    title = job.plan.title if job.plan else job.command.text
    return plain(title, 200) or f"Changes by job {job.id}"


def pull_body(job: Job) -> str:
    """The pull request's description: what a reviewer needs, and nothing that was not seen."""
    return together(
        [
            _closes(job),
            _progress(job),
            prose(job.plan.summary, 4_000) if job.plan else "",
            _result(job),
            _cause(job),
            steps_table(job),
            tests_table(job),
            not_done(job),
            bullets("Risks", job.plan.risks) if job.plan else "",
            bullets("Left out on purpose", job.plan.out_of_scope) if job.plan else "",
            _continue(job),
        ],
        end=f"<sub>{cost(job)}</sub>" if cost(job) else "",
    )


def _closes(job: Job) -> str:
    """A merge closes the issue only where all of it was done."""
    if job.issue is None:
        return ""
    whole = job.end is None or (job.end.outcome == "succeeded" and not job.end.not_done)
    return f"{'Closes' if whole else 'Part of'} #{job.issue.number}"


def _progress(job: Job) -> str:
    if job.end is None:
        steps = len(job.plan.steps) if job.plan else 0
        return f"> Work goes on: {len(job.commits)} of {count(steps, 'step')} committed."
    if job.end.outcome == "succeeded":
        return ""
    heading = {
        "failed": "This is not finished: something went wrong.",
        "stopped": "This is not finished: a limit was reached.",
        "cancelled": "This is not finished: it was stopped on request.",
    }[job.end.outcome]
    return f"> {heading}\n{quoted(job.end.summary, 1_000)}"


def _result(job: Job) -> str:
    """What came of the plan, in the agent's last words."""
    if job.end is None or job.end.outcome != "succeeded":
        return ""
    return f"**Result.** {beside(prose(job.end.summary, 4_000))}"


def _cause(job: Job) -> str:
    if job.plan is None or not job.plan.root_cause:
        return ""
    cause = f"### Why\n\n{prose(job.plan.root_cause, 2_000)}"
    evidence = _evidence(job.plan)
    return f"{cause}\n\n{evidence}" if evidence else cause


def steps_table(job: Job) -> str:
    """Steps and their commits, side by side."""
    rows = ["### What changed", "", "| Step | Commit | Files | Lines |", "|---|---|---|---|"]
    for commit in job.commits[:ROWS]:
        files = ", ".join(cell_code(path, 120) for path in commit.files[:4])
        more = f" and {len(commit.files) - 4} more" if len(commit.files) > 4 else ""
        rows.append(
            f"| {commit.number}. {inline(commit.subject, 120)} | {commit.sha[:SHORT]} "
            f"| {files}{more} | +{commit.added} −{commit.deleted} |"
        )
    return "\n".join(rows) if job.commits else ""


def tests_table(job: Job) -> str:
    """The tests that were really run: exit code, time, the state they ran against, command."""
    runs = proof.tests(job)
    heading = "### Tests that were really run"
    if not runs:
        return f"{heading}\n\nNone. Nothing about this change was verified by running it."
    pairs = "\n".join(
        f"- {code(passed.run.command, 300)} **failed before** ({_code(failed)} on "
        f"{_against(job, failed)}) and **passes after** (on {passed.against[:SHORT]})."
        for failed, passed in proof.mended(job)[:5]
    )
    return "\n\n".join(part for part in (heading, pairs, _rows(job, runs)) if part)


def _rows(job: Job, runs: Sequence[proof.TestRun]) -> str:
    left_out = max(0, len(runs) - ROWS)
    rows = ["| Exit | Time | Ran against | Command |", "|---|---|---|---|"]
    rows += [
        f"| {_number(test)} | {duration(test.run.seconds)} | {_against(job, test)} "
        f"| {cell_code(test.run.command, 300)} |"
        for test in runs[left_out:]
    ]
    if left_out:
        rows += ["", f"{left_out} earlier runs are left out."]
    return "\n".join(rows)


def _number(test: proof.TestRun) -> str:
    return "killed" if test.run.exit_code is None else str(test.run.exit_code)


def _code(test: proof.TestRun) -> str:
    return "killed" if test.run.exit_code is None else f"exit {test.run.exit_code}"


def _against(job: Job, test: proof.TestRun) -> str:
    if test.base:
        return f"base {test.against[:SHORT]}"
    if test.against:
        last = " (last)" if test.against == job.head_sha and len(job.commits) > 1 else ""
        return f"{test.against[:SHORT]}{last}"
    return "uncommitted state"


def verdict(job: Job) -> str:
    """One line about the tests, as short as it can honestly be."""
    runs = proof.tests(job)
    if not runs:
        return "No tests were run, so nothing is verified."
    pairs = proof.mended(job)
    if proof.verified(job):
        line = f"Tests pass on the last commit, {job.head_sha[:SHORT]}."
        if pairs:
            line += f" {code(pairs[0][1].run.command, 200)} failed before and passes now."
        return line
    if any(test.against == job.head_sha and not test.base for test in runs):
        return f"Not all tests pass on the last commit, {job.head_sha[:SHORT]}."
    return "Tests were run, but not on the last commit."


def not_done(job: Job) -> str:
    """What remains, as the end says."""
    return bullets("Not done", job.end.not_done) if job.end else ""


def _continue(job: Job) -> str:
    thread = f"on #{job.issue.number}" if job.issue else "on an issue"
    if job.end is None:
        return f"To stop, comment `/vibecode stop` {thread}."
    return (
        f"To go on, push to {code(job.branch, 200)} yourself, or comment `/vibecode` with what is "
        f"missing {thread}."
    )


def pull_comment(job: Job, public_url: str | None = None) -> str:
    """The one comment on the pull request: how far the work is, for those who review."""
    if job.end is not None:
        parts = _ended(job, job.end, elsewhere=False)
    elif job.plan is not None:
        parts = [_heading(job, job.plan), checklist(job, job.plan), *_now(job)[:-1]]
    else:
        parts = [_before_the_plan(job)]
    return together(parts, end=_footer(job, public_url), room=COMMENT_ROOM)


# ── the Checks tab ────────────────────────────────────────────────────────────────────────────────


def check(job: Job) -> CheckText:
    """The check run on the last commit, for who looks whether this can be merged."""
    steps = checklist(job, job.plan) if job.plan else ""
    summary = together([_check_summary(job), steps, not_done(job)], end=cost(job))
    output = []
    for run in reversed(job.runs[-5:]):
        code_line = "killed by its time limit" if run.exit_code is None else f"exit {run.exit_code}"
        output += [
            f"{code(run.command, 300)}: {code_line} in {duration(run.seconds)}",
            fence(run.output_tail, 1_900, "text", tail=True) if run.output_tail.strip() else "",
        ]
    last = ["### Last commands", *output] if output else []
    return CheckText(_check_title(job), summary, together([tests_table(job), *last]))


def _check_title(job: Job) -> str:
    if job.end is None:
        if job.plan is None or not job.step:
            return "Work goes on"
        step = job.plan.steps[min(job.step, len(job.plan.steps)) - 1]
        return plain(f"Step {job.step} of {len(job.plan.steps)}: {step.title}", 120)
    commits = count(len(job.commits), "commit")
    match job.end.outcome:
        case "succeeded":
            if proof.verified(job):
                return f"{commits}, tests pass" + (", not all done" if job.end.not_done else "")
            tested = proof.tests(job)
            return f"{commits}, not verified" if not tested else f"{commits}, not fully verified"
        case "failed":
            return f"Failed after {commits}"
        case "stopped":
            return f"Stopped at a limit after {commits}"
        case "cancelled":
            return f"Stopped on request after {commits}"


def _check_summary(job: Job) -> str:
    if job.end is None:
        return _note(job) or "Work goes on."
    return f"{prose(job.end.summary, 4_000)}\n\n{verdict(job)}"


def superseded(job: Job, commit: StepCommitted) -> CheckText:
    """The check run on a commit that is not the last one any more."""
    runs = [test for test in proof.tests(job) if test.against == commit.sha]
    return CheckText(
        "Superseded",
        f"This commit is step {commit.number}; the work went on after it.",
        together(["### Tests that ran on this commit", _rows(job, runs)] if runs else []),
    )


# ── branch and commits ────────────────────────────────────────────────────────────────────────────

_TRAILER = re.compile(r"(?im)^(\s*[a-z]+(?:-[a-z]+)+):")


def branch_name(job: Job) -> str:
    """Our branch, such as "vibecode/12-fix-the-flaky-retry-3f9a2c81": the job's id is in it."""
    words = job.issue.title if job.issue else job.command.text
    number = f"{job.issue.number}-" if job.issue else ""
    slug = re.sub(r"[^a-z0-9]+", "-", one_line(words, 200).lower()).strip("-") or "changes"
    slug = (
        textwrap.shorten(slug.replace("-", " "), 40, placeholder="").replace(" ", "-") or slug[:40]
    )
    return f"vibecode/{number}{slug}-{job.id[-8:]}"


def commit_message(
    job: Job, plan: Plan, number: int, summary: str, noreply: str = "users.noreply.github.com"
) -> str:
    """The commit of step `number`. `noreply`: the domain of GitHub's noreply addresses.

    Trailers of our own say which step it is and who asked; ones in the model's words lose their
    colon, or anybody could be named as an author.
    """
    step = plan.steps[number - 1]
    subject = plain(step.title, 72) or f"Step {number}"
    words = _TRAILER.sub(r"\1 ", plain_lines(summary or step.intent, 2_000))
    body = "\n\n".join(_wrapped(block) for block in re.split(r"\n{2,}", words) if block.strip())
    people = {actor.id: actor for actor in (job.command.actor, job.approved_by) if actor}
    trailers = "\n".join(
        [
            f"Vibecode-Step: {number}/{len(plan.steps)} {_slug(step.id)}",
            *(
                f"Co-authored-by: {each.login} <{each.id}+{each.login}@{noreply}>"
                for each in people.values()
            ),
        ]
    )
    return "\n\n".join(part for part in (subject, body, trailers) if part) + "\n"


def _wrapped(block: str) -> str:
    """A paragraph as one, a list line by line."""
    lines = block.split("\n") if re.search(r"(?m)^[-*\d]", block) else [block]
    return "\n".join(
        textwrap.fill(line, 72, break_long_words=False, break_on_hyphens=False) for line in lines
    )


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", one_line(text, 60)).strip("-")


def _footer(job: Job, public_url: str | None) -> str:
    stop = "" if job.end or job.issue is None else "`/vibecode stop` stops it"
    url = watch_url(job, public_url)
    link = f"[watch it live]({url})" if url else ""
    line = " · ".join(part for part in (cost(job), budget(job), link, stop) if part)
    return f"<sub>{line}</sub>" if line else ""
