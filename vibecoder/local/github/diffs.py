"""A unified diff as rows of a table, with line numbers and colored code."""

import html
import re
from dataclasses import dataclass

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
COLORED = 200_000  # characters; beyond this a diff is shown plain, since coloring takes seconds


@dataclass(frozen=True, slots=True)
class Row:
    kind: str  # hunk, same, added, removed, note
    old: int | None
    new: int | None
    code: Markup


def _lexer(path: str, size: int) -> Lexer | None:
    if size > COLORED:
        return None
    try:
        lexer = get_lexer_for_filename(path)
    except ClassNotFound:
        return None
    return None if isinstance(lexer, TextLexer) else lexer


def colored(lines: list[str], lexer: Lexer | None) -> list[Markup]:
    """Each line as HTML; a lexer sees all of them, so that strings over lines come out right."""
    if lexer is None:
        return [Markup(html.escape(line)) for line in lines]  # noqa: S704  # escaped
    lexer.stripnl = False
    lexer.ensurenl = False
    text = "\n".join(lines)
    out = str(highlight(text, lexer, HtmlFormatter(nowrap=True))).split("\n")
    if len(out) < len(lines):
        return [Markup(html.escape(line)) for line in lines]  # noqa: S704  # escaped
    return [Markup(line) for line in out[: len(lines)]]  # noqa: S704  # pygments escapes


def file_lines(path: str, text: str) -> list[Markup]:
    """A whole file, line by line."""
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return colored([line.removesuffix("\r") for line in lines], _lexer(path, len(text)))


def rows(path: str, patch: str) -> list[Row]:
    """The rows of one file's patch (hunks only, as in the API's `patch`)."""
    lexer = _lexer(path, len(patch))
    out: list[Row] = []
    hunk: list[str] = []
    start = (0, 0)
    for line in patch.split("\n"):
        found = HUNK.match(line)
        if found:
            out += _hunk(hunk, *start, lexer)
            out.append(Row("hunk", None, None, Markup.escape(line)))
            hunk, start = [], (int(found[1]), int(found[2]))
        else:
            hunk.append(line)
    return out + _hunk(hunk, *start, lexer)


def _hunk(lines: list[str], old: int, new: int, lexer: Lexer | None) -> list[Row]:
    lines = [line.removesuffix("\r") for line in lines]
    before = iter(colored([line[1:] for line in lines if line[:1] in " -"], lexer))
    after = iter(colored([line[1:] for line in lines if line[:1] in " +"], lexer))
    out = []
    for line in lines:
        sign = line[:1]
        if sign == "+":
            out.append(Row("added", None, new, next(after)))
            new += 1
        elif sign == "-":
            out.append(Row("removed", old, None, next(before)))
            old += 1
        elif sign == "\\" or not sign:
            out.append(Row("note", None, None, Markup.escape(line.removeprefix("\\ "))))
        else:
            next(before)
            out.append(Row("same", old, new, next(after)))
            old, new = old + 1, new + 1
    return out
