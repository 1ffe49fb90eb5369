"""Is this file still well formed? By its language's own rules, without running any of it.

Python is compiled in the sandbox, by the interpreter that will run it (see inside.py). The other
languages are parsed here, on the worker: text in, positions out.
"""

import json
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import tree_sitter
import tree_sitter_bash
import tree_sitter_c
import tree_sitter_cpp
import tree_sitter_go
import tree_sitter_java
import tree_sitter_javascript
import tree_sitter_php
import tree_sitter_ruby
import tree_sitter_rust
import tree_sitter_typescript
import yaml

MAX_BYTES = 1_000_000  # beyond that a file is generated, and parsing it would hold up the worker
SECONDS = 1.0  # per file
MOST = 20  # errors per file


@dataclass(frozen=True, slots=True)
class SyntaxProblem:
    """One place that does not parse."""

    line: int  # from 1
    message: str


GRAMMARS: dict[str, Callable[[], object]] = {
    ".js": tree_sitter_javascript.language,
    ".jsx": tree_sitter_javascript.language,
    ".mjs": tree_sitter_javascript.language,
    ".cjs": tree_sitter_javascript.language,
    ".ts": tree_sitter_typescript.language_typescript,
    ".mts": tree_sitter_typescript.language_typescript,
    ".cts": tree_sitter_typescript.language_typescript,
    ".tsx": tree_sitter_typescript.language_tsx,
    ".go": tree_sitter_go.language,
    ".rs": tree_sitter_rust.language,
    ".java": tree_sitter_java.language,
    ".c": tree_sitter_c.language,
    ".h": tree_sitter_cpp.language,  # C headers are nearly always valid for it too
    ".cc": tree_sitter_cpp.language,
    ".cpp": tree_sitter_cpp.language,
    ".cxx": tree_sitter_cpp.language,
    ".hh": tree_sitter_cpp.language,
    ".hpp": tree_sitter_cpp.language,
    ".rb": tree_sitter_ruby.language,
    ".php": tree_sitter_php.language_php,
    ".sh": tree_sitter_bash.language,
    ".bash": tree_sitter_bash.language,
}


def is_python(path: str) -> bool:
    """Whether the sandbox's Python has to judge."""
    return PurePosixPath(path).suffix in {".py", ".pyi"}


def problems(path: str, data: bytes) -> tuple[SyntaxProblem, ...] | None:
    """What does not parse in a file other than Python; None: not checked."""
    suffix = PurePosixPath(path).suffix.lower()
    if len(data) > MAX_BYTES:
        return None
    if suffix in GRAMMARS:
        return _tree(suffix, data)
    check = {".json": _json, ".toml": _toml, ".yaml": _yaml, ".yml": _yaml}.get(suffix)
    return check(data) if check else None


def newly(
    before: Sequence[SyntaxProblem], after: Sequence[SyntaxProblem]
) -> tuple[SyntaxProblem, ...]:
    """The problems of `after` that `before` did not have; lines may have moved."""
    known = Counter(problem.message for problem in before)
    found = []
    for problem in after:
        if known[problem.message] > 0:
            known[problem.message] -= 1
        else:
            found.append(problem)
    return tuple(found)


def _tree(suffix: str, data: bytes) -> tuple[SyntaxProblem, ...] | None:
    give_up = time.monotonic() + SECONDS

    def is_late(offset: int, has_error: bool) -> bool:
        return time.monotonic() > give_up

    try:
        # Looking for the least error in a page of garbage can take a grammar hours.
        tree = tree_sitter.Parser(_language(suffix)).parse(
            lambda offset, point: data[offset : offset + 65_536], progress_callback=is_late
        )
    except ValueError:
        return None
    if not tree.root_node.has_error:
        return ()
    found: list[SyntaxProblem] = []
    pending = [tree.root_node]
    while pending and len(found) < MOST:
        node = pending.pop()
        line = node.start_point[0] + 1
        if node.is_missing:
            found.append(SyntaxProblem(line, f"“{node.type}” is missing"))
        elif node.is_error:
            text = data[node.start_byte : node.end_byte].decode(errors="replace")
            found.append(SyntaxProblem(line, f"unexpected “{' '.join(text.split())[:60]}”"))
        elif node.has_error:
            pending.extend(reversed(node.children))
    return tuple(found)


@cache
def _language(suffix: str) -> tree_sitter.Language:
    return tree_sitter.Language(GRAMMARS[suffix]())


def _json(data: bytes) -> tuple[SyntaxProblem, ...]:
    try:
        json.loads(data)
    except json.JSONDecodeError as error:
        return (SyntaxProblem(error.lineno, error.msg),)
    except (UnicodeDecodeError, RecursionError) as error:
        return (SyntaxProblem(1, str(error)),)
    return ()


def _toml(data: bytes) -> tuple[SyntaxProblem, ...]:
    try:
        tomllib.loads(data.decode().replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        message, _, place = str(error).partition(" (at line ")
        line = place.partition(",")[0]
        return (SyntaxProblem(int(line) if line.isdigit() else 1, message),)
    return ()


def _yaml(data: bytes) -> tuple[SyntaxProblem, ...]:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Events only: nothing is constructed, so neither tags nor aliases can do any harm.
        for _ in yaml.parse(data, Loader=loader):
            pass
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return (SyntaxProblem(line, error.problem or "is not YAML"),)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        return (SyntaxProblem(1, " ".join(str(error).split())[:200]),)
    return ()
