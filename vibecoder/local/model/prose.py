"""What the replayed engineer says, made from the task and the difference of its releases."""

import ast
import re
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath

from vibecoder.local.model import edits
from vibecoder.local.model.edits import File
from vibecoder.tasks import Task


@dataclass(frozen=True, slots=True)
class Change:
    """One file's two sides."""

    path: str
    old: File | None
    new: File | None

    @property
    def places(self) -> list[tuple[int, str]]:
        """Where the old file changes, the most first: line from 1, and the definition it is in.

        A definition is named like "Class.method"; empty where the change is in none.
        """
        if self.old is None or self.new is None:
            return []
        try:
            before, after = self.old.content.decode(), self.new.content.decode()
        except UnicodeDecodeError:
            return []
        spans = _definitions(before)
        found = []
        for start, end, new_start, new_end in edits.hunks(edits.lines(before), edits.lines(after)):
            inside = [name for low, high, name in spans if low <= max(start + 1, end) <= high]
            size = max(end - start, new_end - new_start)
            found.append((-size, start + 1, inside[-1] if inside else ""))
        return [(line, name) for _, line, name in sorted(found)]


def _definitions(source: str) -> list[tuple[int, int, str]]:
    """(first line, last line, qualified name) of functions and classes, outer before inner."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in a source that is not ours
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    found: list[tuple[int, int, str]] = []

    def walk(node: ast.AST, outer: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = outer
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{outer}.{child.name}".lstrip(".")
                found.append((child.lineno, child.end_lineno or child.lineno, name))
            walk(child, name)

    walk(tree, "")
    return found


def symbols(changes: list[Change]) -> list[str]:
    """The definitions that a fix touches, each once, in order."""
    names = [name for change in changes for _, name in change.places if name]
    return list(dict.fromkeys(names))


def test_names(task: Task) -> list[str]:
    """The tests that the task names: "test_this", in order."""
    found = [name for argument in task.test_args for name in re.findall(r"\btest\w*", argument)]
    files = {PurePosixPath(path).stem for path in task.test_files} | {"test", "tests"}
    return [name for name in dict.fromkeys(found) if name not in files]


def title(task: Task) -> str:
    """The pull request's title."""
    wish = task.issue_title.strip().rstrip(".")
    first, _, rest = wish.partition(" ")
    plain = first.isalpha() and first == first.capitalize()
    return f"Fix: {first.lower() if plain else first}{' ' + rest if rest else ''}"


def fix_title(task: Task, changes: list[Change]) -> str:
    """The fix's commit subject: which code it corrects, in at most 72 characters."""
    names = symbols(changes)
    files = [PurePosixPath(path).name for path in task.source_files]
    where = files[0] if len(files) == 1 else f"{len(files)} files"
    what = names[0] if names else where
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    subject = f"Correct {what}{more}" + (f" in {where}" if names else "")
    return subject if len(subject) <= 72 else f"Correct {where}"


def places(changes: list[Change]) -> str:
    """ "`Signer.unsign` (src/signer.py:41)" for people, at most three of them."""
    spots = [(change.path, line, name) for change in changes for line, name in change.places]
    spots.sort(key=lambda spot: not spot[2])  # what has a name says more
    found = [
        f"`{name}` ({path}:{line})" if name else f"{path}:{line}" for path, line, name in spots
    ]
    shown = found[:3]
    return ", ".join(shown) + (f" and {len(found) - 3} more places" if len(found) > 3 else "")


def plan(task: Task, tests: list[Change], sources: list[Change]) -> dict[str, object]:
    """The input of submit_plan."""
    names = test_names(task)
    tested = f"`{names[0]}`" if names else "the new tests"
    where = places(sources) or ", ".join(task.source_files)
    return {
        "title": title(task),
        "summary": (
            f"{task.issue_body.strip() or task.issue_title} First {tested} shows the problem, then "
            f"the change in {', '.join(f'`{path}`' for path in task.source_files)} makes it pass."
        ),
        "root_cause": f"The behaviour comes from {where}.",
        "evidence": [f"{change.path}:{line}" for change in sources for line, _ in change.places][
            :10
        ],
        "steps": [
            {
                "id": "reproduce",
                "title": "Add a test that shows the problem",
                "intent": f"Describe in {tested} what the issue asks for, and see it fail.",
                "files": [change.path for change in tests],
                "done_when": f"`{task.test_command}` fails for the reason that the issue gives.",
            },
            {
                "id": "fix",
                "title": fix_title(task, sources),
                "intent": f"Change {where} so that the behaviour is the one the issue asks for.",
                "files": [change.path for change in sources],
                "done_when": f"`{task.test_command}` passes, and so do its neighbours.",
            },
        ],
        "verification": list(dict.fromkeys([task.test_command, task.related_command])),
        "risks": ["Callers that relied on the old behaviour will notice the difference."],
        "out_of_scope": ["Anything that the issue does not ask for."],
        "questions": [],
    }
