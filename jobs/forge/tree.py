"""Trees of a commit without a working copy: their entries, a changed copy, and what they ignore."""

import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, cast

from dulwich.attrs import GitAttributes, compile_gitattributes_patterns, parse_git_attributes
from dulwich.ignore import IgnoreFilter, IgnoreFilterManager, read_ignore_patterns
from dulwich.object_store import BaseObjectStore, MaxTreeDepthExceeded
from dulwich.objects import ObjectID, ShaFile, Tree

from jobs.forge.errors import GitError, RepositoryTooLarge
from jobs.forge.intake import FILE, LINK, MAX_LISTED, PROGRAM, SUBMODULE

MAX_DEPTH = 400  # below Python's own limit of recursion, which `changed` needs
MAX_RULES = 100_000  # bytes of one .gitignore or .gitattributes that count
# Patterns become regular expressions, whose time on a crafted name grows with the power of their
# wildcards: 255 characters and 4 wildcards take seconds. Patterns with more match nothing here,
# and few of a file may have more than 2.
MAX_STARS = 4
MAX_COSTLY = 50
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


class Ignored(IgnoreFilterManager):
    """What .gitignore files cover, read from blobs instead of a disk. For new files only."""

    def __init__(self, load: Load) -> None:
        super().__init__("/", [], False)
        self._load = load
        self._pruned: dict[str, bool] = {}
        self._deadline = time.monotonic() + RULE_SECONDS

    def covers(self, path: bytes) -> bool:
        """Whether git would leave out the untracked file at `path`. Raises TooSlow."""
        if time.monotonic() > self._deadline:
            raise TooSlow
        name = os.fsdecode(path)
        at = name.find("/")
        while at != -1:
            if self._prunes(name[:at]):
                return True
            at = name.find("/", at + 1)
        return bool(self.is_ignored(name))

    def _prunes(self, folder: str) -> bool:
        if folder not in self._pruned:
            self._pruned[folder] = self.may_prune_directory(folder + "/")
        return self._pruned[folder]

    def _load_path(self, path: str) -> IgnoreFilter | None:
        if path not in self._path_filters:
            folder = os.fsencode(path)
            data = self._load(folder + b"/.gitignore" if folder else b".gitignore")
            self._path_filters[path] = (
                IgnoreFilter(read_ignore_patterns(_rules(data)), False) if data else None
            )
        return self._path_filters[path]

    def _is_dir(self, path: str) -> bool:
        return path.endswith("/")


class Large:
    """Which paths .gitattributes files give to Git LFS."""

    def __init__(self, load: Load) -> None:
        def rules(folder: bytes) -> list[tuple[Any, Mapping[bytes, Any]]]:
            data = load(folder + b"/.gitattributes" if folder else b".gitattributes")
            if not data:
                return []
            parsed = parse_git_attributes(_rules(data))
            return compile_gitattributes_patterns(parsed, base=folder)

        self._attributes = GitAttributes(rules(b""), directory_loader=rules)
        self._deadline = time.monotonic() + RULE_SECONDS

    def covers(self, path: bytes) -> bool:
        """Whether `path` is kept with Git LFS. Raises TooSlow."""
        if time.monotonic() > self._deadline:
            raise TooSlow
        return self._attributes.match_path(path).get(b"filter") == b"lfs"


def is_pointer(data: bytes) -> bool:
    """Whether this is what git stores in place of a large file.

    https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
    """
    return len(data) < 1024 and data.startswith(b"version https://git-lfs.github.com/spec/")


def _rules(data: bytes) -> BytesIO:
    """The lines that regular expressions can match in a sensible time."""
    kept: list[bytes] = []
    costly = 0
    for line in data[:MAX_RULES].splitlines(keepends=True):
        stars = len(re.findall(rb"\*+", line))
        costly += stars > 2
        if stars <= 2 or (stars <= MAX_STARS and costly <= MAX_COSTLY):
            kept.append(line)
    return BytesIO(b"".join(kept))
