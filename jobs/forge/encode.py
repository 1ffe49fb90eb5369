"""The one outgoing encoder: what models, files, commands and issues say, made inert for GitHub.

Everything that we did not write ourselves passes through here before it leaves: a text of ours may
not mention people, close or cross-reference issues, carry HTML, images, links or hidden markers,
break out of its code fence, or give an order to another bot that reads the thread.

The way is parse and print, not search and replace: `prose` reads the Markdown, keeps the few
shapes that are harmless and prints them anew with every other character escaped. Pure.

Sources: https://docs.github.com/get-started/writing-on-github, https://github.github.com/gfm,
https://docs.github.com/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

ELLIPSIS = "…"
_BREAK = "\ue000"  # printed as "&#8203;", a zero-width space; `clean` lets no such character in
_RAW_BREAK = "\u200b"  # where entities are not read, inside code

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")
_FILLERS = dict.fromkeys(map(ord, "\u115f\u1160\u3164\uffa0\u2800"))  # letters that show nothing
_SECRETS = re.compile(
    r"gh[pousr]_[A-Za-z0-9._-]{30,}"
    r"|github_pat_[A-Za-z0-9_]{30,}"
    r"|sk-ant-[A-Za-z0-9_-]{20,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{20,}|\be2b_[0-9a-f]{40}|\bAIza[0-9A-Za-z_-]{35}"
    r"|\bnpm_[A-Za-z0-9]{36}|\b[rs]k_live_[A-Za-z0-9]{20,}"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[\s\S]{0,8000}?(?:-----END [A-Z ]{0,20}KEY-----|\Z)"
)


def clean(text: str) -> str:
    """`text` without terminal codes, control, bidi and invisible characters, and known secrets.

    Line ends become "\\n"; tabs and new lines stay.
    """
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(
        "\n" if character in "\u2028\u2029\x85" else character
        for character in text.translate(_FILLERS)
        if character in "\n\t\u2028\u2029\x85"
        or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
    )
    return _SECRETS.sub("(secret removed)", kept)


def cut(text: str, limit: int) -> str:
    """At most `limit` code points, cut after a word where one ends nearby."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    space = max(head.rfind(" "), head.rfind("\n"))
    if space > limit * 3 // 4:
        head = head[:space]
    return head.rstrip() + ELLIPSIS


def cut_head(text: str, limit: int) -> str:
    """The last `limit` code points, from the start of a line where one begins nearby."""
    if len(text) <= limit:
        return text
    tail = text[len(text) - limit + 2 :]
    newline = tail.find("\n")
    if 0 <= newline < limit // 4:
        tail = tail[newline + 1 :]
    return f"{ELLIPSIS}\n{tail}"


def one_line(text: str, limit: int) -> str:
    """Clean, on one line. Not yet safe for Markdown: for `plain`, `inline` and `code` below."""
    return cut(" ".join(clean(text).split()), limit)


# ── texts that GitHub does not read as Markdown: titles, commit messages ──────────────────────────

_URL = re.compile(
    r"(?i)(?:\b(?:https?|ftp)://|\b(?:mailto|xmpp):|\bwww\.)[^\s<>|]*[^\s<>|.,;:!?)\]\"']"
)
_AT = re.compile(r"@(?=[A-Za-z0-9])")
_NUMBER = re.compile(r"#(?=\d)")
_GH = re.compile(r"(?i)\b(gh)-(?=\d)")
_SKIP = re.compile(r"(?i)\[(skip ci|ci skip|no ci|skip actions|actions skip)\]")  # stops CI


def plain(text: str, limit: int) -> str:
    """One line for a title or a commit's subject, where escapes would show.

    A commit message can close issues and mention people, and a pull request's title becomes one
    when it is squashed. So "@property" becomes "@ property" and "fixes #3" "fixes no. 3".
    """
    return cut(_plain(one_line(text, limit)), limit)


def plain_lines(text: str, limit: int) -> str:
    """Like `plain`, with the line ends kept: for the body of a commit message."""
    lines = (" ".join(line.split()) for line in clean(text).split("\n"))
    return cut(_plain("\n".join(lines).strip()), limit)


def _plain(text: str) -> str:
    text = re.sub(r"(?i)\bhttps?://", "", text)  # a bare address of an issue is a reference too
    text = _NUMBER.sub("no. ", _AT.sub("@ ", _SKIP.sub(r"(\1)", text)))
    return _GH.sub(r"\1 ", text)


# ── Markdown ──────────────────────────────────────────────────────────────────────────────────────

_ESCAPED = str.maketrans(
    {
        **{mark: "\\" + mark for mark in "\\`*_[]~$"},
        "<": "&lt;",
        ">": "&gt;",
        "&": "&amp;",
        "|": "&#124;",  # an escaped one would still end a table's cell on some readers
        _BREAK: "&#8203;",
    }
)
_BLOCK_START = re.compile(r"(?m)^(?:[#+\-=/:]|(?P<digits>\d+)(?=[.)]))")


def _escape(text: str) -> str:
    """Running text as text: addresses as code, everything else escaped."""
    parts: list[str] = []
    end = 0
    for found in _URL.finditer(text):
        parts.append(_escape_words(text[end : found.start()]))
        parts.append(code(found[0], len(found[0])))  # readable and to copy, but no link
        end = found.end()
    parts.append(_escape_words(text[end:]))
    return "".join(parts)


def _escape_words(text: str) -> str:
    text = _NUMBER.sub(f"#{_BREAK}", _AT.sub(f"@{_BREAK}", text))
    return _GH.sub(rf"\1-{_BREAK}", text).translate(_ESCAPED)


def _escape_starts(text: str) -> str:
    """Keeps lines from opening a heading, a list, an underline, or another bot's /command."""
    return _BLOCK_START.sub(
        lambda found: f"{found['digits']}\\" if found["digits"] else "\\" + found[0], text
    )


def inline(text: str, limit: int) -> str:
    """Plain words within a line of Markdown, such as a title or a path in a table's cell."""
    return _escape_starts(_escape(one_line(text, limit)))


def code(text: str, limit: int) -> str:
    """A code span, closed with more backticks than any run inside."""
    content = _inert_code(one_line(text, limit))
    if not content:
        return "(empty)"
    longest = max(map(len, re.findall(r"`+", content)), default=0)
    marks = "`" * (longest + 1)
    pad = " " if content[0] in "` " or content[-1] in "` " else ""
    return f"{marks}{pad}{content}{pad}{marks}"


def cell_code(text: str, limit: int) -> str:
    """Code in a table's cell, where a code span could not hold a "|"."""
    return f"<code>{inline(text, limit) or '(empty)'}</code>"


def fence(text: str, limit: int, language: str = "", *, tail: bool = False) -> str:
    """A fenced block; with `tail`, the end of `text` is kept rather than its beginning."""
    content = clean(text).strip("\n").expandtabs(4)
    content = _inert_code(cut_head(content, limit) if tail else cut(content, limit))
    content = _CODE_COMMAND.sub(rf"\1{_RAW_BREAK}/", content)
    longest = max(map(len, re.findall(r"`+", content)), default=0)
    marks = "`" * max(3, longest + 1)
    name = language if re.fullmatch(r"[A-Za-z0-9+#-]{1,20}", language) else ""
    return f"{marks}{name}\n{content}\n{marks}"


_CODE_AT = re.compile(r"(?<![\w@])@(?=[A-Za-z0-9][\w-]*(?![\w/-]))")  # not @scope/package, not a@b
_CODE_COMMAND = re.compile(r"(?m)^(\s*)/(?=[A-Za-z][\w-]*(?:\s|$))")  # not /usr/lib


def _inert_code(text: str) -> str:
    """GitHub leaves code alone, but bots that search the raw text of a comment do not."""
    return _CODE_AT.sub(f"@{_RAW_BREAK}", text).replace("<!--", f"<!{_RAW_BREAK}--")


# Links, images, HTML, entities and references stay what they are: characters, printed escaped.
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "maxNesting": 12}).disable(
    ["link", "image", "autolink", "html_inline", "html_block", "reference", "entity"]
)


def prose(text: str, limit: int) -> str:
    """Markdown with its paragraphs, lists, quotes, emphasis and code, and nothing that acts.

    Headings become bold lines, so that nobody's text passes for a section of ours.
    """
    tree = SyntaxTreeNode(_MARKDOWN.parse(cut(clean(text).expandtabs(4), limit)))
    return "\n".join(_blocks(tree.children, tight=False))


def sentence(text: str, limit: int) -> str:
    """Like `prose`, on one line: its emphasis and code spans are kept."""
    tree = SyntaxTreeNode(_MARKDOWN.parseInline(one_line(text, limit)))
    return " ".join(_inline_lines(tree.children))


def quote(text: str, limit: int) -> str:
    """`prose` as a block quote."""
    return "\n".join(f"> {line}".rstrip() for line in prose(text, limit).split("\n"))


def _blocks(nodes: Iterable[SyntaxTreeNode], *, tight: bool) -> list[str]:
    lines: list[str] = []
    previous, odd = "", False
    for node in nodes:
        odd = node.type == previous and not odd  # two lists in a row differ in their markers
        block = _block(node, odd)
        if not block:
            continue
        if lines and not (tight and node.type != "fence"):
            lines.append("")
        lines.extend(block)
        previous = node.type
    return lines


def _block(node: SyntaxTreeNode, odd: bool) -> list[str]:
    match node.type:
        case "paragraph":
            return _inline_lines(node.children)
        case "heading":
            words = " ".join(_inline_lines(node.children, strong=False))
            return [f"**{words}**"] if words else []
        case "fence" | "code_block":
            words = node.content
            language = node.info.split()[0] if node.info.strip() else ""
            return fence(words, len(words) + 1, language).split("\n") if words.strip() else []
        case "blockquote":
            return [f"> {line}".rstrip() for line in _blocks(node.children, tight=False)]
        case "bullet_list":
            return list(_items(node, ["* " if odd else "- "] * len(node.children)))
        case "ordered_list":
            dot = ")" if odd else "."
            return list(_items(node, [f"{n + 1}{dot} " for n in range(len(node.children))]))
        case _:
            return []  # rules


def _items(node: SyntaxTreeNode, markers: list[str]) -> Iterator[str]:
    for item, marker in zip(node.children, markers, strict=True):
        tight = all(child.hidden for child in item.children if child.type == "paragraph")
        lines = _blocks(item.children, tight=tight) or [ELLIPSIS]
        indent = " " * len(marker)
        yield marker + lines[0]
        yield from (f"{indent}{line}".rstrip() for line in lines[1:])


def _inline_lines(nodes: Iterable[SyntaxTreeNode], *, strong: bool = True) -> list[str]:
    text = "".join(_span(node, strong) for node in nodes)
    lines = (line.strip() for line in text.split("\n"))
    return [_escape_starts(line) for line in lines if line]


def _span(node: SyntaxTreeNode, strong: bool) -> str:
    match node.type:
        case "inline":
            return "".join(_span(child, strong) for child in node.children)
        case "text":
            return _escape(node.content)
        case "softbreak" | "hardbreak":
            return "\n"
        case "code_inline":
            return code(node.content, len(node.content) + 1)
        case "em" | "strong":
            words = "".join(_span(child, strong) for child in node.children)
            if "_" in node.markup:  # far more often __init__ than emphasis
                mark = node.markup.replace("_", "\\_")
                return f"{mark}{words}{mark}"
            mark = "**" if node.type == "strong" else "*"
            return f"{mark}{words}{mark}" if strong else words
        case _:
            return _escape(node.content)
