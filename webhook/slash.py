"""The `/vibecode` grammar: what a person's comment asks for. Pure.

    /vibecode <words>            do this
    /vibecode plan <words>       plan it, and wait for an accept
    /vibecode accept [digest]    go on with the plan that waits
    /vibecode revise <words>     plan anew, with these words in mind
    /vibecode stop               stop the job, keep its commits
    /vibecode retry              the last job's wish once more
    /vibecode status             where the job stands
    /vibecode budget <dollars>   what the job may cost at most
    /vibecode why [link]         what became of what was said here, or of that comment or delivery
    /vibecode help               or nothing at all: what can be said

A command begins a line of ordinary text. Quotes, code, HTML and lists are not searched, so that
nobody starts work by quoting or documenting a command, or by hiding one in an HTML comment. Words
may go on over the lines below, code included, until the end or the next command. What is wrapped
as a whole in quotes or in a code block, after `/vibecode`, is unwrapped.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from itertools import pairwise

from markdown_it import MarkdownIt

LONGEST = 20_000  # characters of a request; more is a document, which belongs into the repository
MOST = 5  # commands of one comment that are followed

# Only blocks matter here; without the inline rules a hostile comment stays cheap to read.
_BLOCKS = MarkdownIt("commonmark").disable(["inline", "text_join"])
_COMMAND = re.compile(r"[ \t]*/vibecode[:,]?(?=\s|$)[ \t]*", re.IGNORECASE)
# Code spans and HTML comments may run over several lines of one paragraph.
_HIDDEN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)|<!--.*?(?:-->|\Z)", re.DOTALL)
_FENCED = re.compile(r"(`{3,}|~{3,})[^\n`]*\n(.*?)\n?[ \t]*\1\s*", re.DOTALL)
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "‘": "’", "«": "»", "`": "`"}
_DIGEST = re.compile(r"[0-9a-f]{1,64}")
_DOLLARS = re.compile(r"\$?(\d{1,6}(?:\.\d{1,2})?)\$?")
# A comment's address, or the GUID of a delivery.
_TARGET = re.compile(
    r"https?://\S{1,500}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE
)
_VERBS = ("plan", "accept", "revise", "stop", "retry", "status", "budget", "why", "help")
_OTHER_NAMES = {
    "approve": "accept",
    "approved": "accept",
    "cancel": "stop",
    "abort": "stop",
    "again": "retry",
    "rerun": "retry",
    "state": "status",
    "progress": "status",
}
_FILLERS = frozenset({"it", "now", "please", "this", "the", "thanks", "that", "of", "again"})
_CURRENCY = frozenset({"$", "usd", "dollar", "dollars", "to"})


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
class Revise:
    """Another plan than the one that waits; `text`: how."""

    text: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the job."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The same wish once more."""


@dataclass(frozen=True, slots=True)
class Status:
    """Say where the job stands."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the job may cost at most, in dollars, more than nothing."""

    usd: Decimal


@dataclass(frozen=True, slots=True)
class Why:
    """Say what became of `target`: a comment's address, a delivery's GUID, or empty."""

    target: str


@dataclass(frozen=True, slots=True)
class Help:
    """Say what can be said."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """Meant for us, but no command. `said` is the line; `problem` a sentence for its writer."""

    said: str
    problem: str


Words = Start | Accept | Revise | Stop | Retry | Status | Budget | Why | Help | Unclear


def parse(comment: str) -> tuple[Words, ...]:
    """The commands in a comment's Markdown, in their order: at most `MOST`, then an Unclear."""
    if "/vibecode" not in comment.lower():
        return ()
    text = comment.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    found: list[Words] = []
    for first, end in pairwise([*_command_lines(text, lines), len(lines)]):
        rest = _COMMAND.sub("", lines[first], count=1)
        if len(found) == MOST:
            problem = f"I follow at most {MOST} commands of one comment, and left out the others."
            return (*found, Unclear(rest[:200], problem))
        asked = _unwrapped("\n".join([rest, *lines[first + 1 : end]]).strip())
        found.append(_words(asked.partition("\n")[0].strip(), asked))
    return tuple(found)


def _unwrapped(text: str) -> str:
    if (fenced := _FENCED.fullmatch(text)) and fenced[1] not in fenced[2]:
        return fenced[2].strip()
    closing = _QUOTES.get(text[:1])
    if closing and len(text) > 1 and text[-1] == closing:
        inner = text[1:-1]
        if text[0] not in inner and closing not in inner:
            return inner.strip()
    return text


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
    bare = [word.lower().strip(".,:;!?`\"'“”‘’«»") for word in words]
    verb = bare[0] if bare else ""
    match verb, [word for word in bare[1:] if word not in _FILLERS]:
        case ("", _) if not text:
            return Help()
        case "help", []:
            return Help()
        case "stop", [] | ["job"]:
            return Stop()
        case "retry", [] | ["job"]:
            return Retry()
        case "status", [] | ["job"]:
            return Status()
        case "accept", [] | ["plan"]:
            return Accept("")
        case "accept", [digest] if _DIGEST.fullmatch(digest):
            return Accept(digest)
        case "why", []:
            return Why("")
        case "why", [_] if target := _TARGET.fullmatch(words[-1].strip("<>`.,")):
            return Why(target[0])
        case "budget", more if (usd := _dollars(more)) is not None:
            if usd:
                return Budget(usd)
            return Unclear(
                line[:200], "A budget of nothing would stop the job: say `/vibecode stop`."
            )
        case "budget", []:
            return Unclear(line, "Tell me how much, in dollars: `/vibecode budget 5`.")
    if verb in {"plan", "revise"}:
        asked = _unwrapped(text[len(words[0]) :].strip())
        if not asked and verb == "plan":
            return Unclear(line, "Tell me what to plan: `/vibecode plan <what you want done>`.")
        if not asked:
            return Unclear(line, "Tell me what to change: `/vibecode revise <what to change>`.")
        if problem := _too_long(asked):
            return Unclear(line[:200], problem)
        return Start(asked, plan_only=True) if verb == "plan" else Revise(asked)
    if len(words) <= 2 and (meant := _meant(verb)):
        return Unclear(
            line[:200],
            f"Did you mean `/vibecode {meant}`? If it was the wish itself, "
            "say it in three words or more.",
        )
    if problem := _too_long(text):
        return Unclear(line[:200], problem)
    return Start(text, plan_only=False)


def _too_long(text: str) -> str:
    if len(text) <= LONGEST:
        return ""
    return (
        f"That request has {len(text):,} characters and I read at most {LONGEST:,}. "
        "Say it shorter, or put the details into a file of the repository and name it."
    )


def _dollars(words: list[str]) -> Decimal | None:
    """The amount, where the words are nothing else: "5", "$5.50", "to 5 dollars"."""
    amounts = [word for word in words if word not in _CURRENCY]
    found = _DOLLARS.fullmatch(amounts[0]) if len(amounts) == 1 else None
    return Decimal(found[1]) if found else None


def _meant(verb: str) -> str | None:
    """The verb that `verb` is, or looks like a slip of."""
    if verb in _OTHER_NAMES:
        return _OTHER_NAMES[verb]
    near = get_close_matches(verb, [*_VERBS, *_OTHER_NAMES], n=1, cutoff=0.75)
    return _OTHER_NAMES.get(near[0], near[0]) if near else None
