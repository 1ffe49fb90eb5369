"""What the model plays: a plan of a few steps, each a file, a command and a commit.

Where the conversation stands is read from the conversation, as a model does it: a worker that took
over tells which step is next, and a call that was lost on the way is made again.
"""

import re

from vibecoder.local.model.script import Block, Request, Script, Turn, blocks_of, call, text_of

_ANEW = "made from the last commit"  # what was done of the step is gone
_POSITION = re.compile(r"Now step (\d+) of \d+|All \d+ steps are finished")


def file_of(number: int) -> str:
    return f"steps/{number}.txt"


def content_of(number: int) -> str:
    return f"This is step {number}.\n"


def steps(count: int) -> Script:
    """Plays a job of `count` steps."""

    def play(request: Request) -> Turn:
        if "submit_plan" in request.tools:
            looked = any(each.tool == "list_directory" for each in request.exchanges)
            return Turn((_plan(count) if looked else call("list_directory"),))
        return Turn((_next(request),))

    return play


def _plan(count: int) -> Block:
    wanted = [
        {
            "id": f"step-{n}",
            "title": f"Write part {n}",
            "intent": f"Part {n} is missing.",
            "files": [file_of(n)],
            "done_when": "the file is there",
        }
        for n in range(1, count + 1)
    ]
    return call("submit_plan", title="Write it all", summary="Several parts.", steps=wanted)


def _next(request: Request) -> Block:
    number, done = _standing(request)
    if number is None:
        return call("finish_run", outcome="done", summary="All of it is written.")
    if "write_file" not in done:
        return call("write_file", path=file_of(number), content=content_of(number))
    if "run_command" not in done:
        # Does the same when it runs again, as commands should whose outcome was lost.
        line = f"grep -qx {number} trail.txt || echo {number} >> trail.txt"
        return call("run_command", command=f"touch trail.txt; {line}")
    return call("finish_step", summary=f"Part {number} is written.")


def _standing(request: Request) -> tuple[int | None, set[str]]:
    """The step in work (None: all are done), and the tools that have done their part for it."""
    number: int | None = 1
    done: set[str] = set()
    called: dict[str, str] = {}
    for message in request.messages:
        for block in blocks_of(message["content"]):
            if block["type"] == "tool_use":
                called[block["id"]] = block["name"]
                continue
            if block["type"] == "tool_result" and not block.get("is_error"):
                done.add(called[block["tool_use_id"]])
            text = block.get("text") or text_of(block.get("content") or "")
            if message["role"] == "user" and _ANEW in text:
                done = set()
            for found in _POSITION.finditer(text if message["role"] == "user" else ""):
                now = int(found[1]) if found[1] else None
                if now != number:
                    number, done = now, set()
    return number, done
