"""From a task to a plan, and from a plan to finished steps.

Planning and working are two conversations: what the planner may do differs from what the executor
may do, and a conversation's tools can't change under way. The executor knows the plan and nothing
else, so that a plan can be approved days later by somebody else, and worked on by another worker.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, Literal, TypeVar

from agent import tools
from agent.conversation import Conversation, Limits
from agent.errors import LimitReached
from agent.evidence import Ledger
from agent.issue import IssueText
from agent.model import Model
from agent.plan import Plan, Question, Step
from agent.progress import Keep, Message, Said, StepStarted, Used, Watch
from agent.prompt import prompt
from agent.sandbox import Sandbox
from agent.tools import Input, ToolFailed, clean, ends, parse_call
from agent.words import Ear, Listen, Word, silence
from agent.workbench import Workbench

__all__ = [
    "Assignment", "IssueText", "Limits", "NotSaved", "Nothing", "Report", "Save", "Saved",
    "Word", "handover", "plan", "work",
]  # fmt: skip

LOST = "The worker was lost before this was answered: it may or may not have run. Check first."
MOST_GUIDANCE = 40_000  # characters
MOST_HANDED_OVER = 60  # calls
UNHEARD = "Not yet: somebody said something meanwhile, which comes next. Then call this again."
AGAIN = "You have done exactly this several times now, with the same outcome. Do something else."
SAME_TURNS_NOTICE, SAME_TURNS_END = 3, 6
# What tools leave behind in a tree that they only looked at.
CACHES = (b"__pycache__", b".pytest_cache", b".mypy_cache", b".ruff_cache", b".hypothesis")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is to be done, and all the agent is told about it."""

    instruction: str  # the words of the person who asked and may ask
    repository: str  # "owner/name"
    issue: IssueText | None
    guidance: str  # AGENTS.md, CLAUDE.md and the like, of the commit that the work starts from


@dataclass(frozen=True, slots=True)
class Nothing:
    """The planner found nothing to do, or that it cannot be done."""

    reason: str


@dataclass(frozen=True, slots=True)
class Saved:
    """A step's changes are committed."""

    sha: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotSaved:
    """A step's changes were not committed; the model is told why, so that it can mend it."""

    reasons: tuple[str, ...]


# Step number from 1, the step, its summary, and the tools' edits so far.
Save = Callable[[int, Step, str, int], Awaitable[Saved | NotSaved]]


@dataclass(frozen=True, slots=True)
class Report:
    """How the work ended, in the model's words."""

    outcome: Literal["done", "partial", "blocked"]
    summary: str
    not_done: tuple[str, ...]


async def plan(
    model: Model,
    sandbox: Sandbox,
    assignment: Assignment,
    limits: Limits,
    watch: Watch,
    *,
    history: Sequence[Message] = (),
    keep: Keep,
    note: str = "",
    listen: Listen = silence,
    heard: int = 0,
) -> Plan | Nothing:
    """Find out what to do. The files in the sandbox are looked at, not changed.

    `history` is what `keep` was given before a worker was lost; `note` tells the model what
    happened meanwhile. `listen` tells what people said, of which `heard` words were answered to
    before. Raises LimitReached, ModelError, SandboxError.
    """
    model.check()
    ear = Ear(listen, watch, heard, history)
    before = _entries(await sandbox.manifest())

    async def submit(call: tools.SubmitPlan) -> tuple[str, Plan | Nothing]:
        if await ear.news():
            raise ToolFailed(UNHEARD)
        touched = _touched(before, _entries(await sandbox.manifest()))
        if touched:
            raise ToolFailed(
                "Planning must leave the files as they were, but these differ: "
                f"{', '.join(touched)}. Put them back, then submit the plan again."
            )
        if not call.steps:
            return "There is nothing to carry out.", Nothing(call.summary)
        ids = [step.id for step in call.steps]
        if len(set(ids)) < len(ids):
            raise ToolFailed("Two steps have the same id.")
        return "The plan is handed in.", _plan(call)

    conversation = Conversation(
        model,
        [prompt("planner.md"), _guidance(assignment)],
        [tools.definition(tool) for tool in tools.PLANNING],
        limits,
        watch,
        keep,
        history,
    )
    issue = "It belongs to a GitHub issue: call get_issue." if assignment.issue else ""
    task = prompt(
        "task.md",
        repository=assignment.repository,
        instruction=assignment.instruction,
        issue=issue or "It belongs to no issue.",
    )
    ledger = Ledger.resumed(history)
    bench = Workbench(sandbox, assignment.issue, ledger, watch, limits.deadline)
    desk: Desk[Plan | Nothing] = Desk(
        conversation, bench, ear, tools.PLANNING, {"submit_plan": submit}, watch
    )
    nudge = "Go on until you can call submit_plan; if nothing can be done, submit it without steps."
    ended = await desk.work(task, note, nudge)
    return Nothing(ended.words) if isinstance(ended, Silence) else ended


async def work(
    model: Model,
    sandbox: Sandbox,
    assignment: Assignment,
    plan: Plan,
    limits: Limits,
    watch: Watch,
    save: Save,
    *,
    done: int = 0,
    history: Sequence[Message] = (),
    keep: Keep,
    note: str = "",
    edits: int = 0,
    listen: Listen = silence,
    heard: int = 0,
) -> Report:
    """Carry out a plan, of which `done` steps are committed already.

    `save` commits each finished step. For `history`, `note`, `listen` and `heard` see `plan`.
    `edits`: from where they are counted, so that nothing run before counts for what comes now.
    Raises LimitReached, ModelError, SandboxError, and whatever `save` raises; what was saved stays
    saved.
    """
    model.check()
    ear = Ear(listen, watch, heard, history)
    ledger = Ledger.resumed(history, edits)
    bench = Workbench(sandbox, assignment.issue, ledger, watch, limits.deadline)
    steps, finished = plan.steps, done

    def close_if_finished() -> None:
        if finished == len(steps):
            bench.closed = "All steps are finished, so files can't change now: call finish_run."

    async def finish_step(call: tools.FinishStep) -> tuple[str, None]:
        nonlocal finished
        if finished == len(steps):
            raise ToolFailed("All steps are finished already. Call finish_run.")
        objection = ledger.objection(call.run_ids) or await bench.objection()
        if objection:
            raise ToolFailed(objection)
        step = steps[finished]
        match await save(finished + 1, step, call.summary, ledger.edits):
            case NotSaved(reasons=reasons):
                raise ToolFailed("The step was not committed:\n" + "\n".join(reasons))
            case Saved(sha=sha, files=changed):
                finished += 1
                close_if_finished()
                if finished < len(steps):
                    await watch(StepStarted(finished + 1, steps[finished].id))
                made = f"Committed as {sha[:10]}: {', '.join(changed)}."
                if not changed:
                    made = "No file differs, so there is no commit for this step."
                return f"{made}\n{_position(plan, finished)}", None

    async def finish_run(call: tools.FinishRun) -> tuple[str, Report]:
        if call.outcome == "done" and finished < len(steps):
            missing = ", ".join(step.id for step in steps[finished:])
            raise ToolFailed(
                f"These steps are not finished: {missing}. Finish them, or end the run as partial "
                "or blocked and say in not_done what is missing."
            )
        if await ear.news():
            raise ToolFailed(UNHEARD)
        return "The run is over.", Report(call.outcome, call.summary, tuple(call.not_done))

    conversation = Conversation(
        model,
        [prompt("executor.md"), _guidance(assignment)],
        [tools.definition(tool) for tool in tools.WORKING],
        limits,
        watch,
        keep,
        history,
    )
    task = prompt(
        "approved.md",
        repository=assignment.repository,
        instruction=assignment.instruction,
        plan=json.dumps(asdict(plan), ensure_ascii=False, indent=1),
        position=_position(plan, done),
    )
    if history:
        note = f"{note}\n{_position(plan, done)}".strip()
    close_if_finished()
    if finished < len(steps):
        await watch(StepStarted(finished + 1, steps[finished].id))
    desk: Desk[Report] = Desk(
        conversation,
        bench,
        ear,
        tools.WORKING,
        {"finish_step": finish_step, "finish_run": finish_run},
        watch,
    )
    nudge = "The work ends with finish_run only. Go on, or call it and say how far you got."
    ended = await desk.work(task, note, nudge)
    if isinstance(ended, Silence):
        missing = tuple(step.title for step in steps[finished:])
        return Report("partial" if finished else "blocked", ended.words, missing)
    return ended


def handover(history: Sequence[Message], commits: Sequence[str], heard: Sequence[Word] = ()) -> str:
    """What a new conversation is told of the one before, which outgrew the model's memory.

    `commits`: a line for each one made so far. `heard`: what people said until then.
    """
    calls: list[tuple[str, str, str]] = []  # id, name, gist
    failed, words = set(), ""
    for message in history:
        for block in message["content"]:
            if block["type"] == "tool_use":
                calls.append((block["id"], block["name"], _gist(block)))
            elif block["type"] == "text" and message["role"] == "assistant":
                words = block["text"]
            elif block["type"] == "tool_result" and block.get("is_error"):
                failed.add(block["tool_use_id"])
    saved = [at for at, it in enumerate(calls) if it[1] == "finish_step" and it[0] not in failed]
    since = calls[saved[-1] + 1 if saved else 0 :]
    lines = [f"{name} {gist}{' (failed)' * (id in failed)}" for id, name, gist in since]
    left_out = [f"… {len(lines) - MOST_HANDED_OVER} calls before these …"]
    return prompt(
        "handover.md",
        commits="".join(f"\n- {line}" for line in commits) or "nothing",
        calls="\n".join(left_out * (len(lines) > MOST_HANDED_OVER) + lines[-MOST_HANDED_OVER:])
        or "nothing",
        words=ends(words, 4_000) or "none",
        heard="".join(f"\n- {word.who}: {ends(word.text, 4_000)}" for word in heard) or "nothing",
    )


def _gist(call: Mapping[str, Any]) -> str:
    try:
        return _in_one_line(parse_call(tools.WORKING, call).about)
    except ToolFailed:
        return "(not a valid call)"


def _in_one_line(text: str) -> str:
    return " ".join(clean(text).split())[:200]


End = TypeVar("End")
# What a tool of the loop does: a text for the model and, if that ends the conversation, its result.
Finisher = Callable[[Any], Awaitable[tuple[str, End | None]]]


@dataclass(frozen=True, slots=True)
class Silence:
    """The model stopped without saying how it ended."""

    words: str


@dataclass(slots=True)
class Desk(Generic[End]):
    """Turns of the model and its tools, until one of the finishers ends it."""

    conversation: Conversation
    bench: Workbench
    ear: Ear
    kinds: Sequence[type[Input]]
    finishers: Mapping[str, Finisher[End]]
    watch: Watch
    end: End | None = None

    async def work(self, task: str, note: str, nudge: str) -> End | Silence:
        """Begin with `task`, or go on from the history; `nudge` answers a turn without a call."""
        await self._begin(task, note, nudge)
        nudged, last, repeated = False, "", 0
        while True:
            await self.ear.tell(self.conversation)
            answer = await self.conversation.answer()
            blocks = answer.message["content"]
            words = await self._said(blocks)
            await self.ear.answered(next((b["text"] for b in blocks if b["type"] == "text"), ""))
            calls = [block for block in blocks if block["type"] == "tool_use"]
            if calls:
                nudged = False
                asked = json.dumps([[call["name"], call["input"]] for call in calls])
                repeated = repeated + 1 if asked == last else 1
                last = asked
                if repeated >= SAME_TURNS_END:
                    raise LimitReached(f"The model did the same {repeated} times in a row.")
                notice = [_text(AGAIN)] if repeated >= SAME_TURNS_NOTICE else []
                await self.conversation.tell(*await self._results(calls), *notice)
                if self.end is not None:
                    return self.end
            elif answer.stop_reason != "pause_turn":
                if nudged and not await self.ear.news():
                    return Silence(words or "The model stopped without a result.")
                nudged = True
                await self.conversation.tell(_text(nudge))

    async def _begin(self, task: str, note: str, nudge: str) -> None:
        messages = self.conversation.messages
        if not messages:
            await self.conversation.tell(_text(task), *([_text(note)] if note else []))
            return
        if messages[-1]["role"] == "assistant":
            open_calls = [b for b in messages[-1]["content"] if b["type"] == "tool_use"]
            results = [_result(call, LOST, is_error=True) for call in open_calls]
            await self.conversation.tell(*results, _text(note or nudge))
        elif note:
            await self.conversation.tell(_text(note))

    async def _said(self, blocks: Sequence[dict[str, Any]]) -> str:
        words = ""
        for block in blocks:
            if block["type"] == "thinking" and block.get("thinking"):
                await self.watch(Said(block["thinking"]))
            elif block["type"] == "text":
                words = block["text"]
                await self.watch(Said(words))
        return words

    async def _results(self, calls: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each call's result, in order. Neighbours that only read run side by side."""
        results: list[dict[str, Any]] = []
        group: list[tuple[dict[str, Any], Input]] = []

        async def finish_group() -> None:
            try:
                async with asyncio.TaskGroup() as tasks:
                    running = [tasks.create_task(self._use(*pair)) for pair in group]
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from errors  # callers tell errors apart by their class
            results.extend(task.result() for task in running)
            group.clear()

        for call in calls:
            try:
                parsed = parse_call(self.kinds, call)
            except ToolFailed as failure:
                await finish_group()
                await self.watch(Used(call["name"], "", failed=True))
                results.append(_result(call, str(failure), is_error=True))
                continue
            if parsed.reads_only:
                group.append((call, parsed))
                continue
            await finish_group()
            results.append(await self._use(call, parsed))
        await finish_group()
        return results

    async def _use(self, call: dict[str, Any], parsed: Input) -> dict[str, Any]:
        if self.end is not None:
            return _result(call, "Not done: the work had ended.", is_error=True)
        text, failed = "", False
        try:
            finisher = self.finishers.get(parsed.name)
            if finisher is None:
                text = await self.conversation.within_time(self.bench.use(parsed))
            else:
                # Not cut by the deadline: a commit that has begun is brought to its end.
                text, self.end = await finisher(parsed)
        except ToolFailed as failure:
            text, failed = str(failure), True
        about = _in_one_line(parsed.about)
        await self.watch(Used(parsed.name, about, failed))
        return _result(call, text, is_error=failed)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _result(call: Mapping[str, Any], text: str, *, is_error: bool) -> dict[str, Any]:
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": text or "(nothing)"}
    return {**result, "is_error": True} if is_error else result


def _plan(call: tools.SubmitPlan) -> Plan:
    return Plan(
        title=call.title,
        summary=call.summary,
        steps=tuple(
            Step(step.id, step.title, step.intent, tuple(step.files), step.done_when)
            for step in call.steps
        ),
        root_cause=call.root_cause,
        evidence=tuple(call.evidence),
        verification=tuple(call.verification),
        risks=tuple(call.risks),
        out_of_scope=tuple(call.out_of_scope),
        questions=tuple(
            Question(question.text, tuple(question.options), question.default)
            for question in call.questions
        ),
    )


def _position(plan: Plan, finished: int) -> str:
    total = len(plan.steps)
    if finished == total:
        return f"All {total} steps are finished. Call finish_run."
    step = plan.steps[finished]
    names = ", ".join(step.id for step in plan.steps[:finished])
    before = f"Finished: {names}. " if names else ""
    return f"{before}Now step {finished + 1} of {total}, {step.id}: {step.title}"


def _guidance(assignment: Assignment) -> str:
    if not assignment.guidance.strip():
        return ""
    return prompt("guidance.md", guidance=clean(assignment.guidance)[:MOST_GUIDANCE])


def _entries(manifest: bytes) -> dict[bytes, bytes]:
    """Path to mode and blob."""
    found = {}
    for entry in manifest.split(b"\0"):
        what, _, path = entry.partition(b"\t")
        if path and not any(part in CACHES for part in path.split(b"/")):
            found[path] = what
    return found


def _touched(before: dict[bytes, bytes], after: dict[bytes, bytes]) -> list[str]:
    paths = sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
    shown = [path.decode(errors="replace") for path in paths[:10]]
    return [*shown, f"and {len(paths) - 10} more"] if len(paths) > 10 else shown
