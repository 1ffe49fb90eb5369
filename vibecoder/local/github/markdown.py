"""Markdown as people see it on an issue: tables, task lists, mentions, hidden comments.

Raw HTML is shown as text, but for a few tags without attributes that bots fold their messages
with; comments, which bots leave marks in, are dropped as GitHub does.
"""

import html
import re
from collections.abc import Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

SAFE = re.compile(
    r"(<!--.*?-->)|(</?(?:details|summary|sub|sup|kbd|b|i|em|strong|code|p|br|hr|ul|ol|li)\s*/?>"
    r"|<details open>)",
    re.DOTALL,
)
REFERENCE = re.compile(
    r"(?P<url>https?://[^\s<>()]*[^\s<>().,;:!?'\"])"
    r"|(?<![\w/#&])#(?P<number>\d{1,9})\b"
    r"|(?<![\w/.])@(?P<login>[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}))"
    r"|\b(?P<sha>[0-9a-f]{40})\b"
)


def _code(text: str, language: str, attributes: str) -> str:
    try:
        lexer = get_lexer_by_name(language) if language else None
    except ClassNotFound:
        lexer = None
    if lexer is None:
        return html.escape(text)
    return str(highlight(text, lexer, HtmlFormatter(nowrap=True)))


def _raw(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType
) -> str:
    out, at = [], 0
    content = tokens[index].content
    for found in SAFE.finditer(content):
        out.append(html.escape(content[at : found.start()]))
        out.append(found[2] or "")
        at = found.end()
    out.append(html.escape(content[at:]))
    return "".join(out)


def _references(state: StateCore) -> None:
    """Links addresses, #numbers, @logins and commit ids in plain text."""
    root = str(state.env.get("root", ""))
    for block in state.tokens:
        if block.type != "inline" or not block.children:
            continue
        children: list[Token] = []
        depth = 0
        for child in block.children:
            depth += (child.type == "link_open") - (child.type == "link_close")
            if child.type != "text" or depth:
                children.append(child)
            else:
                children += _linked(child.content, root)
        block.children = children


def _linked(text: str, root: str) -> list[Token]:
    out: list[Token] = []
    at = 0
    for found in REFERENCE.finditer(text):
        out.append(_text(text[at : found.start()]))
        at = found.end()
        if found["url"]:
            target, label = found["url"], found["url"]
        elif found["number"]:
            target, label = f"{root}/issues/{found['number']}", found[0]
        elif found["login"]:
            target, label = f"/{found['login']}", found[0]
        else:
            target, label = f"{root}/commit/{found['sha']}", found["sha"][:7]
        opening = Token("link_open", "a", 1, attrs={"href": target})
        out += [opening, _text(label), Token("link_close", "a", -1)]
    out.append(_text(text[at:]))
    return out


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _tasks(state: StateCore) -> None:
    """Makes a box of the mark in "- [x] done"."""
    for before, block in zip(state.tokens, state.tokens[1:], strict=False):
        if block.type != "inline" or before.type != "paragraph_open" or not block.children:
            continue
        first = block.children[0]
        mark = re.match(r"\[([ xX])\] ", first.content)
        if first.type == "text" and mark and block.level >= 3:
            first.content = ("☐ " if mark[1] == " " else "☑ ") + first.content[mark.end() :]


def _renderer(breaks: bool) -> MarkdownIt:
    md = MarkdownIt("commonmark", {"html": True, "breaks": breaks, "highlight": _code})
    md.enable(["table", "strikethrough"])
    md.add_render_rule("html_block", _raw)
    md.add_render_rule("html_inline", _raw)
    md.core.ruler.push("tasks", _tasks)
    md.core.ruler.push("references", _references)
    return md


_COMMENTS, _DOCUMENTS = _renderer(True), _renderer(False)


def render(text: str | None, root: str = "", *, breaks: bool = True) -> str:
    """Safe HTML. `root` is the repository's page ("/owner/name"), for #numbers.

    `breaks` keeps line ends, as in comments; documents such as a README join lines.
    """
    md = _COMMENTS if breaks else _DOCUMENTS
    return str(md.render(text or "", {"root": root}))
