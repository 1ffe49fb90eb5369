"""Replacing one passage of a file. Exact where possible; else the nearest thing that is certain.

A model often gets a passage's whitespace or quotes slightly wrong. Each rung of the ladder forgives
one such slip, and only where exactly one place fits, so that no guess is ever made. What merely
resembles the passage is shown to the model, not changed.
"""

import difflib
import heapq
import re
from collections.abc import Callable
from dataclasses import dataclass

MOST_COMPARED = 2_000  # characters of a passage in the search for something like it
FOLDED = str.maketrans(
    {
        "‘": "'", "’": "'", "‚": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"',
        "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-", "\u00a0": " ",
    }
)  # fmt: skip


class EditRefused(Exception):
    """The edit was not made; the text tells the model why and what to do."""


@dataclass(frozen=True, slots=True)
class Edited:
    """A file's new text. `note` says what was forgiven, empty if nothing."""

    text: str
    lines: tuple[int, ...]  # where replacements begin in the old text, from 1
    note: str = ""


def replace(text: str, old: str, new: str, *, every: bool = False) -> Edited:
    """`text` with `old` replaced by `new`: once, or everywhere where `every` is set.

    Raises EditRefused if `old` is empty, missing, equal to `new`, or found more than once without
    `every`.
    """
    if not old:
        raise EditRefused("old_string is empty. To create a file or to rewrite it, use write_file.")
    if old == new:
        raise EditRefused("old_string and new_string are the same: nothing would change.")
    for rung in (_exactly, _without_line_numbers, _line_endings):
        candidate = rung(text, old, new)
        if candidate is None:
            continue
        was, becomes, note = candidate
        places = [match.start() for match in re.finditer(re.escape(was), text)]
        if not places:
            continue
        lines = tuple(text.count("\n", 0, place) + 1 for place in places)
        if len(places) > 1 and not every:
            raise EditRefused(
                f"old_string is found {len(places)} times, at lines {_some(lines)}. "
                "Add lines around it until it is unique, or set replace_all."
            )
        return Edited(text.replace(was, becomes), lines, note)
    for same, note in _LINE_RUNGS:
        found = _by_lines(text, old, new, same, note)
        if found is not None:
            return found
    raise EditRefused(_suggestion(text, old, new))


Candidate = tuple[str, str, str]


def _exactly(text: str, old: str, new: str) -> Candidate | None:
    # In a file of CRLF lines, a text without any CR that happens to fit still gets CRs in `new`.
    if "\r\n" in text and "\r" not in new and "\n" in new and text.count("\n") == text.count("\r"):
        new = new.replace("\n", "\r\n")
    return old, new, ""


def _line_endings(text: str, old: str, new: str) -> Candidate | None:
    if "\r\n" in text:
        return (
            old.replace("\r\n", "\n").replace("\n", "\r\n"),
            new.replace("\r\n", "\n").replace("\n", "\r\n"),
            "the file's CRLF line endings were kept",
        )
    if "\r\n" in old:
        return (
            old.replace("\r\n", "\n"),
            new.replace("\r\n", "\n"),
            "the file's LF line endings were kept",
        )
    return None


def _without_line_numbers(text: str, old: str, new: str) -> Candidate | None:
    """Line numbers as read_file shows them, copied into the passage by mistake."""
    numbered = re.compile(r"^ *\d+\t", flags=re.MULTILINE)
    if not all(numbered.match(line) for line in old.split("\n") if line):
        return None
    return numbered.sub("", old), numbered.sub("", new), "line numbers were taken off"


def _trailing(line: str) -> str:
    return line.rstrip()


def _unindented(line: str) -> str:
    return line.strip()


def _folded(line: str) -> str:
    return line.translate(FOLDED).strip()


_LINE_RUNGS: tuple[tuple[Callable[[str], str], str], ...] = (
    (_trailing, "whitespace at the ends of lines was ignored"),
    (_unindented, "the indentation was adapted"),
    (_folded, "typographic quotes or dashes were taken as plain ones"),
)


def _by_lines(
    text: str, old: str, new: str, same: Callable[[str], str], note: str
) -> Edited | None:
    """Replace whole lines that are the same once `same` was applied to both sides; only once."""
    lines = text.splitlines(keepends=True)
    wanted = [same(line) for line in old.strip("\r\n").splitlines()]
    if not any(wanted):
        return None
    have = [same(line) for line in lines]
    size = len(wanted)
    places = [at for at in range(len(have) - size + 1) if have[at : at + size] == wanted]
    if not places:
        return None
    if len(places) > 1:
        where = _some(tuple(at + 1 for at in places))
        raise EditRefused(
            f"old_string is not in the file exactly. {note[0].upper()}{note[1:]}, it would fit at "
            f"lines {where}. Copy the passage exactly, with lines around it until it is unique."
        )
    at = places[0]
    old_lines = old.strip("\r\n").splitlines()
    shift = _shift(old_lines, lines[at : at + size])
    if shift is None:
        return None
    ending = "\r\n" if lines[at].endswith("\r\n") else "\n"
    new_lines = [shift(line) for line in new.strip("\r\n").splitlines()] if new else []
    replaced = ending.join(new_lines)
    if new_lines and lines[at + size - 1].endswith(("\n", "\r")):
        replaced += ending
    return Edited("".join(lines[:at]) + replaced + "".join(lines[at + size :]), (at + 1,), note)


def _shift(old: list[str], have: list[str]) -> Callable[[str], str] | None:
    """How the indentation of `old` becomes that of `have`, the same for all lines; else None."""
    removed, added = None, None
    for was, actual in zip(old, have, strict=True):
        if not was.strip():
            continue
        before, after = _indent(was), _indent(actual)
        if before == after and removed is None:
            less, more = "", ""
        elif after.endswith(before):
            less, more = "", after[: len(after) - len(before)]
        elif before.endswith(after):
            less, more = before[: len(before) - len(after)], ""
        else:
            return None
        if removed is None:
            removed, added = less, more
        elif (removed, added) != (less, more):
            return None
    less, more = removed or "", added or ""

    def shift(line: str) -> str:
        if not line.strip():
            return line
        return more + (line[len(less) :] if line.startswith(less) else line.lstrip())

    return shift


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _suggestion(text: str, old: str, new: str) -> str:
    if new.strip() and len(new) > 20 and new in text:
        line = text.count("\n", 0, text.index(new)) + 1
        return f"old_string is not in the file, but new_string is, at line {line}: already done?"
    lines, wanted = text.splitlines(), old.strip("\r\n").splitlines()
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(old[:MOST_COMPARED])
    best, at = 0.0, 0
    for start in _likely(lines, wanted):
        matcher.set_seq1("\n".join(lines[start : start + len(wanted)])[:MOST_COMPARED])
        if (ratio := matcher.ratio()) > best:
            best, at = ratio, start
    if best < 0.6:
        return "old_string is not in the file, nor anything like it. Read the file again."
    end = min(len(lines), at + len(wanted))
    shown = "\n".join(f"{number + 1:6}\t{lines[number]}" for number in range(at, min(end, at + 30)))
    return (
        f"old_string is not in the file. The closest passage is at lines {at + 1} to {end} "
        f"({best:.0%} alike):\n{shown}"
    )


def _likely(lines: list[str], wanted: list[str]) -> list[int]:
    """The few places whose words are most like those wanted: comparing all takes minutes."""
    words = set(re.findall(r"\w+", " ".join(wanted)))
    sums = [0.0]
    for line in lines:
        own = set(re.findall(r"\w+", line[:1000]))
        sums.append(sums[-1] + len(own & words) / (1 + len(own)))
    size = len(wanted)
    places = range(max(1, len(lines) - size + 1))
    return heapq.nlargest(5, places, key=lambda at: sums[min(at + size, len(lines))] - sums[at])


def _some(lines: tuple[int, ...]) -> str:
    shown = ", ".join(str(line) for line in lines[:10])
    return f"{shown}, …" if len(lines) > 10 else shown
