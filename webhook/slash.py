"""The `/vibecode` grammar: what a person's comment asks for. Pure.

    /vibecode <words>            do this
    /vibecode plan <words>       plan it, and wait for an accept
    /vibecode accept [digest]    go on with the plan that waits
    /vibecode stop               stop the job, keep its commits
    /vibecode help               or nothing at all: what can be said

A command begins a line of ordinary text. Quotes, code, HTML and lists are not searched, so that
nobody starts work by quoting or documenting a command, or by hiding one in an HTML comment. Words
may go on over the lines below, code included, until the end or the next command. Of several
commands in one comment the first is followed.
"""

import re
from dataclasses import dataclass
from difflib import get_close_matches

from markdown_it import MarkdownIt

LONGEST = 20_000  # characters of a request; more is a document, which belongs into the repository

# Only blocks matter here; without the inline rules a hostile comment stays cheap to read.
_BLOCKS = MarkdownIt("commonmark").disable(["inline", "text_join"])
_COMMAND = re.compile(r"[ \t]*/vibecode[:,]?(?=\s|$)[ \t]*", re.IGNORECASE)
# Code spans and HTML comments may run over several lines of one paragraph.
_HIDDEN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)|<!--.*?(?:-->|\Z)", re.DOTALL)
_DIGEST = re.compile(r"[0-9a-f]{1,64}")
_VERBS = ("plan", "accept", "stop", "help")
_OTHER_NAMES = {"approve": "accept", "approved": "accept", "cancel": "stop", "abort": "stop"}
_FILLERS = frozenset({"it", "now", "please", "this", "the", "thanks"})


@dataclass(frozen=True, slots=True)
class Start:
    """Do `text`; with `plan_only`, plan it and wait."""

    text: str
    plan_only: bool


@dataclass(frozen=True, slots=True)
class Accept:
    """Accept the waiting plan; `digest` is empty or the hex digits given, in lower case."""

    digest: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the job."""


@dataclass(frozen=True, slots=True)
class Help:
    """Say what can be said."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Meant for us, but no command. `said` is the line; `problem` a sentence for its writer."""

    said: str
    problem: str


Words = Start | Accept | Stop | Help | Unclear


def parse(comment: str) -> Words | None:
    """The first command in a comment's Markdown, or None where there is none."""
    if "/vibecode" not in comment.lower():
        return None
    text = comment.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    commands = _command_lines(text, lines)
    if not commands:
        return None
    first, end = commands[0], commands[1] if len(commands) > 1 else len(lines)
    rest = _COMMAND.sub("", lines[first], count=1)
    asked = "\n".join([rest, *lines[first + 1 : end]]).strip()
    return _words(asked.partition("\n")[0].strip(), asked)


def _command_lines(text: str, lines: list[str]) -> list[int]:
    found = []
    for token in _BLOCKS.parse(text):
        if token.type != "paragraph_open" or token.level or token.map is None:
            continue
        start, end = token.map
        # Hidden text keeps its line breaks, so that line numbers stay true.
        shown = _HIDDEN.sub(
            lambda hidden: re.sub(r"[^\n]", "x", hidden[0]), "\n".join(lines[start:end])
        )
        found += [start + n for n, line in enumerate(shown.split("\n")) if _COMMAND.match(line)]
    return found


def _words(line: str, text: str) -> Words:
    words = line.split()
    bare = [word.lower().strip(".,:;!?`") for word in words]
    verb = bare[0] if bare else ""
    match verb, [word for word in bare[1:] if word not in _FILLERS]:
        case ("", _) if not text:
            return Help()
        case "help", []:
            return Help()
        case "stop", [] | ["job"]:
            return Stop()
        case "accept", [] | ["plan"]:
            return Accept("")
        case "accept", [digest] if _DIGEST.fullmatch(digest):
            return Accept(digest)
    if verb == "plan":
        asked = text[len(words[0]) :].strip()
        if not asked:
            return Unclear(line, "Tell me what to plan: `/vibecode plan <what you want done>`.")
        return _start(line, asked, plan_only=True)
    if len(words) <= 2 and (meant := _meant(verb)):
        return Unclear(
            line[:200],
            f"Did you mean `/vibecode {meant}`? If it was the wish itself, "
            "say it in three words or more.",
        )
    return _start(line, text, plan_only=False)


def _start(line: str, text: str, *, plan_only: bool) -> Start | Unclear:
    if len(text) > LONGEST:
        return Unclear(
            line[:200],
            f"That request has {len(text):,} characters and I read at most {LONGEST:,}. "
            "Say it shorter, or put the details into a file of the repository and name it.",
        )
    return Start(text, plan_only)


def _meant(verb: str) -> str | None:
    """The verb that `verb` is, or looks like a slip of."""
    if verb in _OTHER_NAMES:
        return _OTHER_NAMES[verb]
    near = get_close_matches(verb, [*_VERBS, *_OTHER_NAMES], n=1, cutoff=0.75)
    return _OTHER_NAMES.get(near[0], near[0]) if near else None
