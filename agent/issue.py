"""An issue's text on its way to the model: data, stripped of what only machines would see.

People write instructions to an agent into comments that GitHub does not render. What a reader of
the page would not see, the model does not see either.
"""

import html
import json
import re
from dataclasses import dataclass

MOST_CHARACTERS = 20_000  # of the body, and of each comment
MOST_COMMENTS = 50  # the newest


@dataclass(frozen=True, slots=True)
class IssueText:
    """An issue as people wrote it, unclean."""

    title: str
    body: str
    author: str
    comments: tuple[tuple[str, str], ...] = ()  # (author, body), oldest first


def as_json(issue: IssueText) -> str:
    """The issue for the model, as JSON, so that no text in it can pass for a frame around it."""
    shown = issue.comments[-MOST_COMMENTS:]
    data: dict[str, object] = {
        "title": visible(issue.title)[:300],
        "author": visible(issue.author),
        "body": _cut(visible(issue.body)),
        "comments": [
            {"author": visible(author), "body": _cut(visible(body))} for author, body in shown
        ],
    }
    if len(shown) < len(issue.comments):
        data["older_comments_left_out"] = len(issue.comments) - len(shown)
    return json.dumps(data, ensure_ascii=False, indent=1)


# Zero-width and bidirectional controls, soft hyphens, variation selectors, Unicode tags, and
# control characters but for newline and tab.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
    "\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_HTML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", flags=re.DOTALL)
# `[//]: # (text)` and its variants are reference definitions that nothing refers to.
_MARKDOWN_COMMENT = re.compile(r"^ {0,3}\[//?\]: *#? *.*$", flags=re.MULTILINE)
_HIDDEN_ATTRIBUTE = re.compile(
    r"""\s(?:alt|title|placeholder|aria-[\w-]+|data-[\w-]+|style)\s*=\s*(?:"[^"]*"|'[^']*'|[^\s>]+)""",
    flags=re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]\w{1,30});")
_TAG = re.compile(r"<[a-zA-Z][^<>]*>")
_TOKEN = re.compile(r"\b(?:gh[opsur]_[A-Za-z0-9_.\-]{16,}|github_pat_\w{20,}|sk-ant-[\w\-]{16,})")


def visible(text: str) -> str:
    """`text` without what GitHub's page would not show; tokens that slipped in are masked."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Entities stay as they are, since an issue may be about them, unless they stand for nothing.
    text = _ENTITY.sub(lambda entity: entity[0] if _shows(entity[0]) else "", text)
    # Twice, because taking one thing out may put another together.
    for _ in range(2):
        text = _INVISIBLE.sub("", text)
        text = _HTML_COMMENT.sub("", text)
        text = _MARKDOWN_COMMENT.sub("", text)
        text = _without_alternatives(text)
        text = _TAG.sub(lambda tag: _HIDDEN_ATTRIBUTE.sub("", tag[0]), text)
    text = _TOKEN.sub("[token]", text)
    return text.encode("utf-8", "replace").decode()


def _without_alternatives(text: str) -> str:
    """Markdown images without their alternative texts; a pattern would take quadratic time."""
    parts, at = [], 0
    while (start := text.find("![", at)) >= 0 and (end := text.find("]", start)) >= 0:
        parts += [text[at:start], "![image]"]
        at = end + 1
    return "".join(parts) + text[at:]


def _shows(entity: str) -> bool:
    return _INVISIBLE.sub("", html.unescape(entity)) != ""


def _cut(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}\n… {len(text) - MOST_CHARACTERS:,} more characters left out"
