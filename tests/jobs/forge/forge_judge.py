"""The judge of what we send: a Markdown parser that nobody here wrote."""

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

JUDGE = MarkdownIt("gfm-like", {"html": True, "linkify": False})
MENTION = re.compile(r"(?<![A-Za-z0-9_])@[A-Za-z0-9]")
REFERENCE = re.compile(r"#\d|\bgh-\d", re.IGNORECASE)
ACTS = {"html_inline", "html_block", "image", "link_open"}


def walk(tokens: list[Token]) -> list[Token]:
    return [t for token in tokens for t in (token, *walk(token.children or []))]


def judged(markdown: str) -> list[Token]:
    markdown.encode()  # no lone surrogate left
    return walk(JUDGE.parse(markdown))


def shown(tokens: list[Token]) -> list[str]:
    """The running text of each block as a reader sees it, code left out."""
    blocks = []
    for token in tokens:
        if token.type == "inline":
            text = ""
            for child in token.children or []:
                text += {"softbreak": "\n", "code_inline": "\ufffc"}.get(child.type, "")
                text += child.content if child.type in {"text", "text_special"} else ""
            blocks.append(text)
    return blocks


def assert_inert(markdown: str) -> None:
    tokens = judged(markdown)
    assert not {token.type for token in tokens} & ACTS
    for text in shown(tokens):
        assert not MENTION.search(text)
        assert not REFERENCE.search(text)
        assert "://" not in text or not re.search(r"(?i)\b(?:https?|ftp)://[^\s<>]", text)
    assert_inert_to_bots(markdown)


def assert_inert_to_bots(markdown: str) -> None:
    for line in markdown.split("\n"):  # what bots see that read the source
        assert not re.match(r"\s*/[a-z][\w-]*\s*$", line)
        assert not re.search(r"(?<![\w@])@[A-Za-z0-9][\w-]*(?![\w/-])", line)
        assert "<!--" not in line
    for character in markdown.replace("\u200b", ""):
        assert character in "\n\t" or character.isprintable() or character.isspace()
