"""Replays the real fix of a task, the way a careful engineer would go about it.

The edits are derived when the script is made, from the two releases, so no third-party code is
kept anywhere. Which move comes next is read from the ids of the calls in the conversation; a call
that went wrong is tried in another way before the work goes on.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vibecoder.local.model import edits, prose
from vibecoder.local.model.edits import File
from vibecoder.local.model.prose import Change
from vibecoder.local.model.script import (
    Block,
    Request,
    Result,
    Script,
    Turn,
    blocks_of,
    call,
    say,
    think,
)
from vibecoder.tasks import Sources, Task

ATTEMPTS = 6
# What keeps a large fix within a job's budget: every turn costs the conversation so far.
SHORT = 400  # lines of a file that is read as a whole; of longer ones only what will change
AROUND = 25  # lines before and after that
READS = 20  # calls in one turn
BATCH = 30_000  # characters of edits in one turn
BASELINE = 20  # seconds for the tests as they are
LONGEST = 180_000  # characters of calls in one turn; the API ends an answer at 64,000 tokens


def replay(task: Task, sources: Sources) -> Script:
    """A script for both of a job's conversations: the planner's and the executor's."""
    tests = _changes(task.test_files, sources)
    fixes = _changes(task.source_files, sources)
    planner, executor = _planner(task, tests, fixes), _executor(task, tests, fixes)

    def play(request: Request) -> Turn:
        if "submit_plan" in request.tools:
            return planner.next(request)
        if "finish_step" in request.tools:
            return executor.next(request)
        return Turn((say(f"I am scripted, and know one thing: {prose.title(task)}."),))

    return play


def _changes(paths: Sequence[str], sources: Sources) -> list[Change]:
    sides = [Change(path, _file(sources.old / path), _file(sources.new / path)) for path in paths]
    return [change for change in sides if change.old != change.new]


def _file(path: Path) -> File | None:
    if not path.is_file():
        return None
    return File(path.read_bytes(), executable=bool(path.stat().st_mode & 0o100))


@dataclass(frozen=True, slots=True)
class Move:
    """One turn, repeated in other words until it is done."""

    calls: Callable[[Request, int], Sequence[Block]]  # the request, and which attempt, from 0
    done: Callable[[Sequence[Result]], bool] = lambda results: True
    words: tuple[Block, ...] = ()  # before the calls, at the first attempt
    attempts: int = ATTEMPTS
    vital: bool = False  # stop the work when it cannot be done


@dataclass(frozen=True, slots=True)
class Part:
    """One conversation: its moves, in steps."""

    steps: tuple[tuple[Move, ...], ...]

    def next(self, request: Request) -> Turn:
        moves = [move for step in self.steps for move in step]
        number, attempt = self._position(request, moves)
        if attempt < 0:
            last = request.results[-1].text[:500]
            return Turn((say(f"I cannot go on. The last answer was: {last}"),))
        for place in range(number, len(moves)):
            move = moves[place]
            calls = [each for each in move.calls(request, attempt) if each["name"] in request.tools]
            if calls:
                words = move.words if attempt == 0 else ()
                mark = f"toolu_replay_{place:03}_{attempt}_{request.turns:03}"
                named = [{**each, "id": f"{mark}_{n:03}"} for n, each in enumerate(calls)]
                return Turn((*words, *named))
            attempt = 0
        return Turn((say("There is nothing left to do here."),))

    def _position(self, request: Request, moves: Sequence[Move]) -> tuple[int, int]:
        """Which move comes now, and which attempt at it; attempt -1: it cannot be done."""
        step = _told_step(request.news, len(self.steps))
        if step is not None:  # a fresh start, or one after a worker was lost
            return sum(len(before) for before in self.steps[:step]), 0
        results = request.results
        if not results:
            return (0, 0) if request.turns == 0 else (len(moves), 0)
        number, attempt = _mark(results[0].id)
        if moves[number].done(results):
            return number + 1, 0
        if attempt + 1 < moves[number].attempts:
            return number, attempt + 1
        return (number, -1) if moves[number].vital else (number + 1, 0)


def _told_step(news: Sequence[Block], steps: int) -> int | None:
    """The step, from 0, that the worker says is to be done now; None: it says nothing."""
    text = "\n".join(block["text"] for block in news if block["type"] == "text")
    if re.search(r"All \d+ steps are finished", text):
        return steps - 1
    said = re.findall(r"Now step (\d+) of \d+", text)
    return min(int(said[-1]), steps) - 1 if said else None


def _started_anew(request: Request) -> bool:
    """Whether the worker was lost on the way, so that nobody knows which edits were made."""
    later = [block for message in request.messages[1:] for block in blocks_of(message["content"])]
    return _told_step(later, 1) is not None


def _mark(call_id: str) -> tuple[int, int]:
    match = re.fullmatch(r"toolu_replay_(\d+)_(\d+)_\d+_\d+", call_id)
    if match is None:
        raise ValueError(f"the call {call_id} is not one of this script")
    return int(match[1]), int(match[2])


def _planner(task: Task, tests: list[Change], fixes: list[Change]) -> Part:
    names = prose.symbols(fixes)
    word = names[0].rpartition(".")[2] if names else ""
    known = [change for change in [*fixes, *tests] if change.old is not None]
    looks = [block for change in known[:6] for block in _reads(change, places=2)]
    if word:
        looks.insert(0, call("grep", pattern=rf"\b{re.escape(word)}\b", glob="*.py"))
    look_around = Move(
        lambda request, attempt: [call("get_issue"), call("list_directory", path=".")],
        words=(
            think("Before anything else: what exactly is reported, and what is in here?"),
            say("I'll read the issue and look around."),
        ),
    )
    read = Move(
        lambda request, attempt: looks,
        words=(
            think(
                f"The report is about this: {task.issue_title} I want to see the code that does "
                "it and the tests that cover it now."
            ),
        ),
    )
    submit = Move(
        lambda request, attempt: [call("submit_plan", **prose.plan(task, tests, fixes))],
        done=_accepted,
        words=(
            think(
                f"The place is {prose.places(fixes) or 'clear'}. A test first, so that the "
                "failure is seen, then the smallest change that makes it pass."
            ),
        ),
        vital=True,
    )
    return Part(((look_around, read, submit),))


def _executor(task: Task, tests: list[Change], fixes: list[Change]) -> Part:
    names = ", ".join(f"`{name}`" for name in prose.test_names(task)) or "the new tests"
    sources = [change.path for change in fixes if change.new and change.path.endswith(".py")][:50]
    before = _neighbours(task, tests)

    def commands(request: Request) -> list[str]:
        """The test; and all of its files, if they passed before anything was changed.

        Some need what a sandbox lacks, and their failure would say nothing about the fix.
        """
        healthy = before is not None and _exit_code(_first(request, before)) == 0
        return [task.test_command, *([task.related_command] if healthy else [])]

    reproduce = (
        Move(
            lambda request, attempt: [
                call("run_command", command=command, timeout_seconds=BASELINE)
                for command in ([before] if before else [])
            ],
            words=(say("First of all: do the tests that are here pass as they are?"),),
        ),
        *_work(tests, f"Step 1 is a test that fails for the reason in the issue: {names}."),
        Move(
            lambda request, attempt: [call("run_command", command=task.test_command)],
            done=lambda results: all(_ran(result) for result in results),
            words=(say("Now it should fail, because nothing is fixed yet."),),
        ),
        _finish(
            lambda request: [task.test_command],
            lambda ran: f"{names} {_outcome(ran)} on the code as it is.",
        ),
    )
    fix = (
        *_work(fixes, f"Step 2 is the fix, in {prose.places(fixes) or 'the sources'}."),
        Move(lambda request, attempt: [call("validate_syntax", paths=sources)] if sources else []),
        _proof(task, commands, [*tests, *fixes]),
        _finish(commands, lambda ran: f"{names} {_outcome(ran)} with the change."),
    )
    unseen = Move(
        lambda request, attempt: (
            []
            if _latest(request, task.test_command)
            else [call("run_command", command=task.test_command)]
        )
    )
    end = Move(lambda request, attempt: [_end(task, request)], done=_accepted, vital=True)
    return Part((reproduce, fix, (unseen, end)))


def _neighbours(task: Task, tests: list[Change]) -> str | None:
    """Runs the test files as they are before the work; None: there are none yet."""
    kept = tuple(change.path for change in tests if change.old is not None)
    command = replace(task, test_files=kept).related_command
    return None if command == task.test_command else command


def _work(changes: list[Change], thought: str) -> list[Move]:
    """Reads what is there, then edits it, several files in one turn where little changes."""
    reads = [block for change in changes for block in _reads(change, places=4)][:READS]
    return [
        Move(lambda request, attempt: reads, words=(think(thought),)),
        *(move for batch in _batches(changes) for move in _edit(batch)),
    ]


def _reads(change: Change, *, places: int) -> list[Block]:
    """Shows a file, or of a long one so many of the places that will change."""
    if change.old is None:
        return []
    if change.old.content.count(b"\n") <= SHORT:
        return [call("read_file", path=change.path)]
    spans: list[tuple[int, int]] = []
    for line, _ in sorted(change.places[:places]):
        start, end = max(line - AROUND, 1), line + AROUND
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return [call("read_file", path=change.path, start=start, end=end) for start, end in spans]


def _batches(changes: list[Change]) -> list[list[Change]]:
    batches: list[list[Change]] = []
    room = 0
    for change in changes:
        again = _size(edits.rewrite(change.path, change.old, change.new))
        size = max(_size(edits.calls(change.path, change.old, change.new)), again // 4)
        if size > room:
            batches.append([])
            room = BATCH
        batches[-1].append(change)
        room -= size
    return batches


def _size(calls: Sequence[Block]) -> int:
    return len(str(calls))


def _edit(changes: list[Change]) -> list[Move]:
    """One turn; or several where one file is so large that it goes in pieces."""
    first = [it for one in changes for it in edits.calls(one.path, one.old, one.new)]
    again = [it for one in changes for it in edits.rewrite(one.path, one.old, one.new)]
    if first == again:
        return [_say_again(piece, piece) for piece in _pieces(first)]
    return [_say_again(first, again)]


def _say_again(first: list[Block], again: list[Block]) -> Move:
    return Move(
        lambda request, attempt: again if attempt or _started_anew(request) else first,
        done=_applied,
        vital=True,
    )


def _pieces(calls: list[Block]) -> list[list[Block]]:
    pieces: list[list[Block]] = [[]]
    for each in calls:
        if pieces[-1] and _size([*pieces[-1], each]) > LONGEST:
            pieces.append([])
        pieces[-1].append(each)
    return pieces


def _proof(task: Task, commands: Callable[[Request], list[str]], changes: list[Change]) -> Move:
    """Runs the test; where it fails, looks which files were lost, writes those, runs it again."""

    def calls(request: Request, attempt: int) -> list[Block]:
        match attempt % 3:
            case 0:
                return _runs(commands(request))
            case 1:
                return [edits.check({change.path: change.new for change in changes})]
            case _:
                lost = re.findall(r"^differs: (.*)$", request.results[-1].text, re.MULTILINE)
                return [
                    block
                    for change in changes
                    if change.path in lost
                    for block in edits.rewrite(change.path, change.old, change.new)
                ]

    def done(results: Sequence[Result]) -> bool:
        wanted = [each for each in results if each.input.get("command") == task.test_command]
        return bool(wanted) and all(_exit_code(result) == 0 for result in wanted)

    return Move(
        calls,
        done=done,
        words=(say("The same test again, and everything else in its files."),),
        attempts=4,
    )


def _runs(commands: Sequence[str]) -> list[Block]:
    return [call("run_command", command=command) for command in commands]


def _finish(
    commands: Callable[[Request], list[str]], summary: Callable[[Result | None], str]
) -> Move:
    """Ends a step with the runs that show it; where that is refused, runs them anew first."""

    def calls(request: Request, attempt: int) -> list[Block]:
        if attempt % 2:
            return _runs(commands(request))
        latest = [_latest(request, command) for command in commands(request)]
        first, *others = latest
        # The neighbours are cited where they pass; a suite may need what this machine lacks.
        cited = [first, *(other for other in others if other and _exit_code(other) == 0)]
        ids = [match[1] for result in cited if result and (match := _ran(result))]
        return [call("finish_step", summary=summary(first), run_ids=ids)]

    def done(results: Sequence[Result]) -> bool:
        return _accepted(results) and results[0].tool == "finish_step"

    return Move(calls, done=done, vital=True)


def _end(task: Task, request: Request) -> Block:
    ran = _latest(request, task.test_command)
    if _exit_code(ran) == 0:
        summary = (
            f"{task.issue_title.rstrip('.')}: fixed. The new test failed before the change and "
            "passes with it."
        )
        return call("finish_run", outcome="done", summary=summary, not_done=[])
    summary = f"The change is in place, but the test {_outcome(ran)} with it."
    return call("finish_run", outcome="partial", summary=summary, not_done=[task.issue_title])


def _accepted(results: Sequence[Result]) -> bool:
    return not any(result.is_error for result in results)


def _applied(results: Sequence[Result]) -> bool:
    wrong = [code for result in results if (code := _exit_code(result)) is not None and code != 0]
    return _accepted(results) and not wrong


def _ran(result: Result | None) -> re.Match[str] | None:
    """ "[r3] exit 1 in 0.84 s" as the first line of a run's result: id and exit code."""
    return re.match(r"\[(r\d+)\] exit (-?\d+)", result.text) if result else None


def _exit_code(result: Result | None) -> int | None:
    match = _ran(result)
    return int(match[2]) if match else None


def _all_runs(request: Request, command: str) -> list[Result]:
    found = [result for result in request.exchanges if result.input.get("command") == command]
    return [result for result in found if _ran(result)]


def _first(request: Request, command: str) -> Result | None:
    return next(iter(_all_runs(request, command)), None)


def _latest(request: Request, command: str) -> Result | None:
    return next(reversed(_all_runs(request, command)), None)


def _outcome(ran: Result | None) -> str:
    code = _exit_code(ran)
    if code is None:
        return "could not be run"
    return "passes" if code == 0 else f"fails (exit {code})"
