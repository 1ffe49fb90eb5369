"""Trees of a commit without a working copy: their entries, a changed copy, and what they ignore."""

import re
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Any, cast

from dulwich.attrs import Pattern, compile_gitattributes_patterns, parse_git_attributes
from dulwich.ignore import IgnoreFilter, read_ignore_patterns
from dulwich.object_store import BaseObjectStore, MaxTreeDepthExceeded
from dulwich.objects import ObjectID, ShaFile, Tree

from jobs.forge import intake
from jobs.forge.errors import GitError, RepositoryTooLarge
from jobs.forge.intake import FILE, LINK, MAX_LISTED, PROGRAM, SUBMODULE, parents

MAX_DEPTH = 400  # below Python's own limit of recursion, which `changed` needs
MAX_RULES = 100_000  # bytes of one .gitignore or .gitattributes that count
# Patterns become regular expressions, whose time on a crafted name grows with the power of their
# wildcards: 255 characters and 4 wildcards take seconds. Patterns with more match nothing here.
MAX_STARS = 4
RULE_SECONDS = 30.0  # for all questions to one set of rules


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, program, link or submodule of a tree."""

    mode: int  # canonical: FILE, PROGRAM, LINK or SUBMODULE
    sha: bytes  # 40 hex digits


def canonical(mode: int) -> int:
    """Old repositories hold modes such as 100664, which mean the same."""
    if stat.S_ISLNK(mode):
        return LINK
    if stat.S_IFMT(mode) == SUBMODULE:
        return SUBMODULE
    return PROGRAM if mode & 0o100 else FILE


def entries(store: BaseObjectStore, tree: ObjectID, name: str) -> dict[bytes, Entry]:
    """Everything in a tree by path. `name`: the repository, for sentences.

    Raises RepositoryTooLarge, and GitError where objects are missing.
    """
    found: dict[bytes, Entry] = {}
    try:
        for path, mode, sha in store.iter_tree_contents(tree, max_depth=MAX_DEPTH):
            found[path] = Entry(canonical(mode), sha)
            if len(found) > MAX_LISTED:
                raise RepositoryTooLarge(
                    f"{name} has more than {MAX_LISTED:,} files, too many to work on."
                )
    except MaxTreeDepthExceeded:
        raise RepositoryTooLarge(f"{name} nests folders more than {MAX_DEPTH} deep.") from None
    except KeyError as error:
        raise GitError(f"{name} could not be read: an object is missing from it.") from error
    if not all(e.mode == SUBMODULE or ObjectID(e.sha) in store for e in found.values()):
        raise GitError(f"{name} could not be read: a file's content is missing from it.")
    return found


def changed(
    store: BaseObjectStore,
    tree: ObjectID | None,
    changes: Mapping[bytes, Entry | None],
    new: dict[ObjectID, ShaFile],
) -> ObjectID | None:
    """The id of `tree` with `changes` (None deletes); trees that it needs are put into `new`.

    None: nothing is left in it. Modes and names of what did not change stay byte for byte.
    """
    base = cast(Tree, store[tree]) if tree is not None else Tree()
    content = {name: (mode, sha) for name, mode, sha in base.iteritems()}
    nested: dict[bytes, dict[bytes, Entry | None]] = {}
    direct: dict[bytes, Entry | None] = {}
    for path, entry in changes.items():
        head, slash, rest = path.partition(b"/")
        if slash:
            nested.setdefault(head, {})[rest] = entry
        else:
            direct[head] = entry
    for name, entry in direct.items():
        if entry is None and name in content and not stat.S_ISDIR(content[name][0]):
            del content[name]
    for name, below in nested.items():
        old = content.get(name)
        folder = old[1] if old is not None and stat.S_ISDIR(old[0]) else None
        made = changed(store, folder, below, new)
        if made is not None:
            content[name] = (stat.S_IFDIR, made)
        elif folder is not None:
            del content[name]
    for name, entry in direct.items():
        if entry is not None:
            content[name] = (entry.mode, ObjectID(entry.sha))
    if not content:
        return None
    result = Tree()
    for name, (mode, sha) in content.items():
        result.add(name, mode, sha)
    if result.id != tree:
        new[result.id] = result
    return result.id


class TooSlow(Exception):
    """Crafted rules took longer than RULE_SECONDS."""


# One file's content by path, or None where there is no such plain file.
Load = Callable[[bytes], bytes | None]


class Ignored:
    """What .gitignore files cover, read from blobs instead of a disk. For new files only."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._filters: dict[bytes, IgnoreFilter | None] = {}  # by folder
        self._folders: dict[bytes, bool] = {}  # whether git would not even enter it
        self._deadline = time.monotonic() + RULE_SECONDS

    def covers(self, path: bytes) -> bool:
        """Whether git would leave out the untracked file at `path`. Raises TooSlow.

        As git does, from the top down: nothing below an excluded folder is included again.
        """
        for folder in islice(parents(path), intake.MAX_DEPTH):
            if folder not in self._folders:
                self._folders[folder] = self._excluded(folder, is_folder=True)
            if self._folders[folder]:
                return True
        return path.count(b"/") <= intake.MAX_DEPTH and self._excluded(path, is_folder=False)

    def _excluded(self, path: bytes, *, is_folder: bool) -> bool:
        """What the deepest file of rules says that knows the path, by its last line that does."""
        for folder in reversed((b"", *parents(path))):
            rules = self._rules_of(folder)
            relative = path[len(folder) + 1 :] if folder else path
            for pattern in reversed(rules.patterns) if rules else ():
                if time.monotonic() > self._deadline:
                    raise TooSlow
                if pattern.matches(relative, is_folder):
                    return pattern.is_exclude
        return False

    def _rules_of(self, folder: bytes) -> IgnoreFilter | None:
        if folder not in self._filters:
            data = self._load(folder + b"/.gitignore" if folder else b".gitignore")
            lines = read_ignore_patterns(_rules(data)) if data else ()
            self._filters[folder] = IgnoreFilter(lines) if data else None
        return self._filters[folder]


class Large:
    """Which paths .gitattributes files give to Git LFS."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._filters: dict[bytes, list[tuple[Pattern, Any]]] = {}  # by folder
        self._deadline = time.monotonic() + RULE_SECONDS

    def covers(self, path: bytes) -> bool:
        """Whether `path` is kept with Git LFS: the last line that names its filter says so.

        Raises TooSlow.
        """
        name: Any = None
        for folder in (b"", *parents(path)):
            if folder not in self._filters:
                self._filters[folder] = self._read(folder)
            for pattern, value in self._filters[folder]:
                if time.monotonic() > self._deadline:
                    raise TooSlow
                if pattern.match(path):
                    name = value
        return bool(name == b"lfs")

    def _read(self, folder: bytes) -> list[tuple[Pattern, Any]]:
        data = self._load(folder + b"/.gitattributes" if folder else b".gitattributes")
        lines = parse_git_attributes(_rules(data)) if data else ()
        named = ((pattern, given) for pattern, given in lines if b"filter" in given)
        return [
            (pattern, given[b"filter"])
            for pattern, given in compile_gitattributes_patterns(named, base=folder)
        ]


def is_pointer(data: bytes) -> bool:
    """Whether this is what git stores in place of a large file.

    https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """
    return len(data) < 1024 and data.startswith(b"version https://git-lfs.github.com/spec/")


def _rules(data: bytes) -> BytesIO:
    """The lines that regular expressions can match in a sensible time."""
    lines = data[:MAX_RULES].splitlines(keepends=True)
    return BytesIO(b"".join(x for x in lines if len(re.findall(rb"\*+", x)) <= MAX_STARS))
