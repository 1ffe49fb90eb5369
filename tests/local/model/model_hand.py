"""A tiny agent for tests: the real client, and the agent's tools on a folder, no sandbox."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anthropic

READS = {"get_issue", "list_directory", "read_file", "grep", "glob", "validate_syntax"}
ENDS = {"submit_plan", "finish_run"}
PLANNER = ("get_issue", "list_directory", "read_file", "grep", "glob", "run_command", "submit_plan")
EXECUTOR = (
    *("list_directory", "read_file", "grep", "glob", "write_file", "edit", "run_command"),
    *("validate_syntax", "finish_step", "finish_run"),
)


def tool(name: str) -> dict[str, Any]:
    return {"name": name, "description": name, "input_schema": {"type": "object"}}


class Hand:
    """Runs the tools in `root`; `runs` holds (command, exit code) of everything that was run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs: list[tuple[str, int]] = []
        self.used: list[tuple[str, dict[str, Any]]] = []

    def use(self, name: str, fields: dict[str, Any]) -> tuple[str, bool]:
        """What the tool says, and whether it is an error."""
        self.used.append((name, fields))
        match name:
            case "run_command":
                return self._run(fields["command"]), False
            case "write_file":
                path = self.root / fields["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(fields["content"].encode())
                return "written", False
            case "edit":
                path = self.root / fields["path"]
                text = path.read_bytes().decode()
                found = text.count(fields["old_string"])
                if found != 1:
                    return f"old_string matches {found} places", True
                new = text.replace(fields["old_string"], fields["new_string"])
                path.write_bytes(new.encode())
                return "edited", False
            case "finish_step":
                known = {f"r{number + 1}" for number in range(len(self.runs))}
                wrong = not fields["run_ids"] or not known.issuperset(fields["run_ids"])
                return ("no such run" if wrong else "committed"), wrong
            case _:
                return "something", False

    def _run(self, command: str) -> str:
        start = time.monotonic()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.root,
            capture_output=True,
            env={"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
        )
        self.runs.append((command, done.returncode))
        took = time.monotonic() - start
        output = (done.stdout + done.stderr).decode(errors="replace")[-1000:]
        return f"[r{len(self.runs)}] exit {done.returncode} in {took:.2f} s\n{output}"


async def converse(
    client: anthropic.AsyncAnthropic,
    hand: Hand,
    tools: tuple[str, ...],
    task: str,
    limit: int = 60,
    history: list[dict[str, Any]] | None = None,
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Holds a conversation until a tool ends it; gives that tool's input, and all messages."""
    messages = [*(history or []), {"role": "user", "content": task}]
    for _ in range(limit):
        async with client.messages.stream(
            model="claude-opus-5-5",
            max_tokens=64_000,
            system=[
                {"type": "text", "text": "work " * 1000, "cache_control": {"type": "ephemeral"}}
            ],
            tools=[tool(name) for name in tools],
            thinking={"type": "adaptive", "display": "summarized"},
            cache_control={"type": "ephemeral"},
            messages=messages,
        ) as stream:
            answer = await stream.get_final_message()
        blocks = [block.to_dict() for block in answer.content]
        messages.append({"role": "assistant", "content": blocks})
        calls = [block for block in blocks if block["type"] == "tool_use"]
        if not calls:
            return None, messages
        results = []
        for block in calls:
            text, wrong = hand.use(str(block["name"]), dict(block["input"]))  # type: ignore[call-overload]
            results.append(
                {
                    "type": "tool_result",
                    "tool_use_id": block["id"],
                    "content": text,
                    "is_error": wrong,
                }
            )
            if block["name"] in ENDS and not wrong:
                return dict(block["input"]), messages  # type: ignore[call-overload]
        messages.append({"role": "user", "content": results})
    raise AssertionError("the conversation does not end")
