"""What the scripted model plays in the measures."""

from collections.abc import Sequence
from typing import Any

from vibecoder.local.model.script import Block, Request, Script, Turn, call, turns


def plan(*steps: str, summary: str = "What has to be done.") -> Block:
    """The planner's last call; without steps there is nothing to do."""
    fields: dict[str, Any] = {
        "title": steps[0] if steps else "Nothing to do",
        "summary": summary,
        "steps": [
            {"id": f"step-{n}", "title": title, "intent": title, "files": [], "done_when": ""}
            for n, title in enumerate(steps, start=1)
        ],
    }
    return call("submit_plan", **fields)


def nothing() -> Script:
    """A planner that finds nothing to do."""
    return turns(Turn((plan(summary="There is nothing to do here."),)))


def work(calls: Sequence[Block]) -> Script:
    """A plan of one step, and these calls to carry it out, one a turn."""
    planner = turns(Turn((plan("Do the work"),)))
    executor = turns(
        *(Turn((block,)) for block in calls),
        Turn((call("finish_step", summary="Did the work."),)),
        Turn((call("finish_run", outcome="done", summary="All of it is done."),)),
    )

    def play(request: Request) -> Turn:
        return planner(request) if "submit_plan" in request.tools else executor(request)

    return play
