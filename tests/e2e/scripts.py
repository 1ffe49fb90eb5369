"""Scripts for the model that do what a test needs, step by step."""

from collections.abc import Sequence

from vibecoder.local.model.script import Block, Request, Script, Turn, call, turns

Step = tuple[str, Sequence[Block]]  # a title, and the calls that do it


def planned(*titles: str, questions: Sequence[dict[str, object]] = ()) -> Block:
    """The planner's last call."""
    steps = [
        {"id": f"step-{n}", "title": title, "intent": title, "files": [], "done_when": "done"}
        for n, title in enumerate(titles, start=1)
    ]
    return call(
        "submit_plan",
        title=titles[0] if titles else "Nothing to do",
        summary="What has to be done.",
        root_cause="",
        evidence=[],
        steps=steps,
        verification=[],
        risks=[],
        out_of_scope=[],
        questions=list(questions),
    )


def finished(outcome: str = "done", summary: str = "All of it is done.") -> Turn:
    return Turn((call("finish_run", outcome=outcome, summary=summary, not_done=[]),))


def job(*steps: Step, end: Turn | None = None) -> Script:
    """Plans these steps, does each in one turn, saves it, and ends."""
    planner = turns(Turn((planned(*(title for title, _ in steps)),)))
    done: list[Turn] = []
    for title, calls in steps:
        if calls:
            done.append(Turn(tuple(calls)))
        done.append(Turn((call("finish_step", summary=title, run_ids=[]),)))
    executor = turns(*done, end or finished())

    def play(request: Request) -> Turn:
        return planner(request) if "submit_plan" in request.tools else executor(request)

    return play


def nothing(reason: str) -> Script:
    """Finds that there is nothing to do."""
    block = planned()
    return turns(Turn(({**block, "input": {**block["input"], "summary": reason}},)))


def write(path: str, content: str) -> Block:
    return call("write_file", path=path, content=content)


def shell(command: str) -> Block:
    return call("run_command", command=command)
