"""A repository without a working tree: fetched, handed to a sandbox, changed, committed, pushed.

    with Checkout.fetch(folder, remote, None) as checkout:
        checkout.tar(out)                             # to the sandbox
        changes = checkout.compare(manifest)          # what it says it holds now
        made = checkout.commit(changes, tar, …)       # Commit, or Refusals to tell the agent
        checkout.push(remote, "vibecode/1-x", made, expect=None)

The commit is built from our own clean tree and re-hashed bytes, never by running git on what came
back. Everything here blocks and is meant for a thread; one Checkout belongs to one job.
"""

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, ObjectID, ShaFile, Tree
from dulwich.objects import Commit as CommitObject

from jobs.forge import intake, tarball
from jobs.forge import remote as wire
from jobs.forge.diff import count, unified
from jobs.forge.errors import GitError
from jobs.forge.intake import FILE, LINK, SUBMODULE, Changes, Listed, Refused, show
from jobs.forge.leaks import leaks
from jobs.forge.patch import Changed, Side, mail
from jobs.forge.push import push
from jobs.forge.remote import Fetched, Remote, remote_head
from jobs.forge.tree import Entry, Ignored, Large, TooSlow, changed, entries, is_pointer

__all__ = [
    "Changes",
    "Checkout",
    "Commit",
    "FileChange",
    "Head",
    "Person",
    "Refusals",
    "Refused",
    "Remote",
    "remote_head",
]

MAX_FETCH = 1_000_000_000  # bytes of one commit's pack
MAX_TREE = 2_000_000_000  # bytes of its files
FETCH_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Person:
    """Who stands in a commit as author or committer."""

    name: str
    email: str

    def line(self) -> bytes:
        """The form of git's headers, without what could end or forge one."""
        name, email = (
            re.sub(r"[<>\x00-\x1f]", "", text).strip() for text in (self.name, self.email)
        )
        return f"{name or 'unknown'} <{email}>".encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Head:
    """What the commit at the head says of itself."""

    author: Person
    message: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file of a commit."""

    path: str
    status: Literal["added", "modified", "deleted"]
    added: int  # lines; 0 for binary content
    deleted: int


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that exists here and is not pushed yet."""

    sha: str
    tree: str
    parent: str
    files: tuple[FileChange, ...]
    objects: tuple[ShaFile, ...] = field(repr=False)  # all that the remote does not have
    entries: Mapping[bytes, Entry | None] = field(repr=False)  # None: deleted


@dataclass(frozen=True, slots=True)
class Refusals:
    """Why no commit was made, for the agent to mend."""

    refused: tuple[Refused, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(each.reason for each in self.refused)


class Checkout:
    """One commit of a repository, and the commits made on top of it."""

    @classmethod
    def fetch(
        cls,
        folder: Path,
        remote: Remote,
        branch: str | None,
        *,
        sha: str | None = None,
        max_bytes: int = MAX_FETCH,
        seconds: float = FETCH_SECONDS,
    ) -> "Checkout":
        """Fetches one commit, without history, into `folder`: a branch's head, or `sha`.

        `branch` None: the default branch. Raises EmptyRepository, BranchMissing,
        RepositoryTooLarge, RepositoryGone, GitUnauthorized, GitUnreachable, and what
        `remote.token` raises.
        """
        (folder / "objects" / "pack").mkdir(parents=True, exist_ok=True)
        store = DiskObjectStore(folder / "objects")
        try:
            fetched = wire.fetch(store, remote, branch, sha, max_bytes=max_bytes, seconds=seconds)
            return cls(store, fetched, remote.name)
        except BaseException:
            store.close()
            raise

    def __init__(self, store: DiskObjectStore, fetched: Fetched, name: str) -> None:
        """See `fetch`. `name`: "owner/name", for sentences."""
        self._store = store
        self._name = name
        self.branch = fetched.branch
        self.base_sha = fetched.sha
        self.head_sha = fetched.sha  # moves when a commit was pushed
        self.bytes = fetched.bytes  # transferred
        self._entries = entries(store, self._commit(fetched.sha).tree, name)
        self.files = len(self._entries)  # in the base
        # What no sandbox could unpack, or would unpack somewhere else, stays here untouched.
        self._withheld = frozenset(
            path for path, entry in self._entries.items() if self._unpackable(path, entry)
        )
        # Sentences for people about what works differently in this repository.
        self.notes = self._notes()

    def close(self) -> None:
        """Closes the files of the store; the folder is the caller's to delete."""
        self._store.close()

    def __enter__(self) -> "Checkout":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def head(self) -> Head:
        """Who made the head, with which words, on top of what. None of it is to be trusted."""
        return self.about(self.head_sha)

    def about(self, sha: str) -> Head:
        """The same for another commit that is here."""
        commit = self._commit(sha)
        name, _, email = commit.author.decode(errors="replace").rpartition(" <")
        return Head(
            Person(name, email.rstrip(">")),
            commit.message.decode(errors="replace"),
            tuple(parent.decode() for parent in commit.parents),
        )

    def read(self, path: str, max_bytes: int = intake.MAX_FILE) -> bytes | None:
        """The first `max_bytes` of a file at the head, None where there is none.

        Symbolic links to other files of the repository are followed.
        """
        name = path.encode("utf-8", "surrogateescape")
        for _ in range(5):
            entry = self._entries.get(name)
            if entry is None or entry.mode == SUBMODULE:
                return None
            data = self._blob(entry)
            if entry.mode != LINK:
                return data[:max_bytes]
            name = posixpath.normpath(posixpath.join(posixpath.dirname(name), data))
        return None

    def tar(self, out: BinaryIO, *, max_bytes: int = MAX_TREE) -> None:
        """Writes the head's files as a tar: links as links, submodules as empty folders.

        Raises RepositoryTooLarge once the files exceed `max_bytes`.
        """
        sent = {path: e for path, e in self._entries.items() if path not in self._withheld}
        when = self._commit(self.head_sha).commit_time
        try:
            tarball.write(out, self._store, sent, when=when, max_bytes=max_bytes, name=self._name)
        finally:
            # It opens again by itself. Else up to 96 MB of unpacked objects stay for a whole job.
            self._store.close()

    def changed_rules(self, manifest: bytes) -> tuple[bytes, ...]:
        """The .gitignore files that the sandbox changed: `compare` wants their content."""
        try:
            listed = intake.parse_manifest(manifest)
        except intake.BrokenManifest:
            return ()
        return tuple(
            path
            for path, each in listed.items()
            if path.rpartition(b"/")[2] == b".gitignore"
            and each.mode in {FILE, intake.PROGRAM}
            and self._entries.get(path) != Entry(each.mode, each.sha)
        )

    def compare(self, manifest: bytes, rules: Mapping[bytes, bytes] | None = None) -> Changes:
        """How the sandbox's files differ from the head, by the sandbox's word.

        `rules`: the content of changed .gitignore files by path, so that one written in this step
        counts; content that is not what the manifest lists does not. New files that .gitignore
        covers are left out, tracked ones never are.
        """
        try:
            listed = intake.parse_manifest(manifest)
        except intake.BrokenManifest as error:
            return self._refuse(intake.broken(f"their list is damaged, {error}"))
        submodules = {path for path, entry in self._entries.items() if entry.mode == SUBMODULE}
        here = self._entries.keys() - submodules - self._withheld
        kept = submodules | self._withheld
        kept_folders = {parent for path in kept for parent in intake.parents(path)}
        given = {
            path: data
            for path, data in (rules or {}).items()
            if path in listed and Blob.from_string(data).id == listed[path].sha
        }
        ignored = Ignored(lambda path: given[path] if path in given else self._plain(path))
        take: list[Listed] = []
        refused: list[Refused] = []
        left_out: set[bytes] = set()
        for path, each in listed.items():
            tracked = path in here
            if tracked and self._entries[path] == Entry(each.mode, each.sha):
                continue
            try:
                if not tracked and ignored.covers(path):
                    left_out.add(path)
                    continue
            except TooSlow:
                return self._refuse(intake.broken("matching .gitignore against them took too long"))
            problem = None if tracked else intake.new_name(path)
            if problem is None and path in kept_folders:
                problem = intake.in_the_way(path)
            if problem is None and not submodules.isdisjoint((path, *intake.parents(path))):
                problem = intake.inside_submodule(path)
            problem = problem or intake.protected(path) or intake.kind_problem(each)
            if problem is None:
                take.append(each)
            else:
                refused.append(problem)
        deleted = [path for path in here if path not in listed]
        if here and len(deleted) == len(here) and not take:
            return self._refuse(intake.broken("all files of the repository are gone from it"))
        refused += [no for path in deleted if (no := intake.protected(path))]
        new = frozenset(each.path for each in take if each.path not in here)
        if new:
            gone = set(deleted)
            result = [path for path in self._entries if path not in gone] + list(new)
            refused += intake.clashes(result, new)
        if len(take) + len(deleted) > intake.MAX_CHANGES:
            refused.append(intake.too_many([*(each.path for each in take), *deleted]))
        total = sum(each.size or 0 for each in take)
        if total > intake.MAX_STEP:
            refused.append(intake.too_much(total))
        return Changes(
            self.head_sha,
            tuple(sorted(take, key=lambda each: each.path)),
            tuple(sorted(deleted)),
            intake.told(refused),
            frozenset(left_out),
        )

    def commit(
        self,
        changes: Changes,
        tar: BinaryIO,
        *,
        message: str,
        author: Person,
        committer: Person,
        when: int,
    ) -> Commit | Refusals:
        """Makes a commit of `changes`, whose content comes in `tar`: exactly `changes.take`.

        Every byte is hashed again. `when` is seconds since the epoch. Nothing moves before `push`.
        Raises ValueError where `changes` were compared with another head.
        """
        if changes.head_sha != self.head_sha:
            raise ValueError("these changes were compared with another commit")
        if changes.refused:
            return Refusals(changes.refused)
        blobs, refused = tarball.read(tar, changes.listed) if changes.listed else ({}, [])
        refused += self._contents(changes, blobs)
        text = message.replace("\0", "").strip().encode("utf-8", "replace") + b"\n"
        refused += [
            Refused("", "secret", f"The commit message contains what looks like {what}.")
            for _, what in leaks(text, lambda _: False)
        ]
        if refused:
            return Refusals(intake.told(refused))
        update: dict[bytes, Entry | None] = dict.fromkeys(changes.deleted)
        update |= {each.path: Entry(each.mode, each.sha) for each in changes.listed}
        new: dict[ObjectID, ShaFile] = {blob.id: blob for blob in blobs.values()}
        base = self._commit(self.head_sha)
        root = changed(self._store, base.tree, update, new)
        if root is None:
            empty = Tree()
            root = new.setdefault(empty.id, empty).id
        if root == base.tree:
            return Refusals((Refused("", "nothing", "No file was changed, so nothing was saved."),))
        made = CommitObject()
        made.tree = root
        made.parents = [ObjectID(self.head_sha.encode())]
        made.author, made.committer = author.line(), committer.line()
        made.author_time = made.commit_time = when
        made.author_timezone = made.commit_timezone = 0
        made.message = text
        objects = [made, *(each for sha, each in new.items() if sha not in self._store)]
        return Commit(
            made.id.decode(),
            root.decode(),
            self.head_sha,
            tuple(self._file_change(path, entry, new) for path, entry in sorted(update.items())),
            tuple(objects),
            update,
        )

    def push(self, remote: Remote, branch: str, commit: Commit, *, expect: str | None) -> None:
        """Moves `branch` to `commit` if it points to `expect`; None: if there is no such branch.

        May be repeated after any error. Then our head is `commit`. Raises PushRefused and the
        errors of `fetch`; ValueError where `commit` was not made on our head.
        """
        if self.head_sha not in {commit.parent, commit.sha}:
            raise ValueError("this commit was not made on the head of this checkout")
        push(remote, branch, commit.sha, commit.objects, expect=expect)
        if self.head_sha == commit.parent:
            self._store.add_objects([(each, None) for each in commit.objects])
            for path, entry in commit.entries.items():
                if entry is None:
                    del self._entries[path]
            self._entries |= {p: entry for p, entry in commit.entries.items() if entry is not None}
            self._withheld -= commit.entries.keys()
            self.head_sha = commit.sha

    def patch(self, commit: Commit) -> bytes:
        """A commit that is not pushed, as a mail for `git am --keep-cr`."""
        new = {each.id: each for each in commit.objects}
        made = next(each for each in commit.objects if isinstance(each, CommitObject))

        def side(entry: Entry | None) -> Side | None:
            if entry is None:
                return None
            there = new.get(ObjectID(entry.sha))
            return Side(entry.mode, there.as_raw_string() if there else self._blob(entry))

        changes = [
            Changed(path, side(self._entries.get(path)), side(entry))
            for path, entry in sorted(commit.entries.items())
        ]
        message = made.message.decode("utf-8", "replace")
        return mail(commit.sha, made.author, made.author_time, message, changes)

    def bring(self, remote: Remote, sha: str, *, seconds: float = FETCH_SECONDS) -> None:
        """Fetches one more commit, without history, so that `diff` can use it."""
        if ObjectID(sha.encode()) not in self._store:
            wire.fetch(self._store, remote, None, sha, max_bytes=MAX_FETCH, seconds=seconds)

    def diff(self, old_sha: str, new_sha: str, max_bytes: int = 200_000) -> str:
        """The unified diff between two commits that are here; what does not fit is named."""
        trees = (self._commit(old_sha).tree, self._commit(new_sha).tree)
        return unified(self._store, *trees, max_bytes)

    def _refuse(self, refused: Refused) -> Changes:
        return Changes(self.head_sha, (), (), (refused,), frozenset())

    def _contents(self, changes: Changes, blobs: Mapping[bytes, Blob]) -> Iterable[Refused]:
        """What is wrong with the content that came, now that it is known."""

        def load(path: bytes) -> bytes | None:
            return blobs[path].data if path in blobs else self._plain(path)

        large = Large(load)
        deleted = [path for path in changes.deleted if self._plain(path)]
        for each in changes.listed:
            if each.path not in blobs:
                continue
            data = blobs[each.path].data
            if each.mode == LINK:
                problem = intake.link_target(each.path, data)
                if problem:
                    yield problem
                continue
            try:
                if not is_pointer(data) and large.covers(each.path):
                    yield intake.lfs_content(each.path)
            except TooSlow:
                yield intake.broken("matching .gitattributes against them took too long")
                return
            was = [each.path, *deleted]  # a file that moved brings nothing new
            for line, what in leaks(data, partial(self._holds, was)):
                yield intake.secret(each.path, line, what)

    def _holds(self, paths: Iterable[bytes], secret: bytes) -> bool:
        return any(secret in (self._plain(path) or b"") for path in paths)

    def _file_change(
        self, path: bytes, entry: Entry | None, new: Mapping[ObjectID, ShaFile]
    ) -> FileChange:
        before = self._entries.get(path)
        old = self._blob(before) if before else b""
        now = b"" if entry is None else new[ObjectID(entry.sha)].as_raw_string()
        status: Literal["added", "modified", "deleted"] = (
            "deleted" if entry is None else "modified" if before else "added"
        )
        return FileChange(intake.readable(path), status, *count(old, now))

    def _commit(self, sha: str) -> CommitObject:
        try:
            found = self._store[ObjectID(sha.encode())]
        except KeyError:
            raise GitError(f"The commit {sha[:8]} of {self._name} is not here.") from None
        if not isinstance(found, CommitObject):
            raise GitError(f"{sha[:8]} of {self._name} is not a commit.")
        return found

    def _blob(self, entry: Entry) -> bytes:
        return self._store.get_raw(ObjectID(entry.sha))[1]

    def _plain(self, path: bytes) -> bytes | None:
        entry = self._entries.get(path)
        return None if entry is None or entry.mode in {LINK, SUBMODULE} else self._blob(entry)

    def _unpackable(self, path: bytes, entry: Entry) -> bool:
        if intake.unsafe(path):
            return True
        if entry.mode != LINK:
            return False
        target = self._blob(entry)
        return not target or b"\0" in target or len(target) >= intake.MAX_PATH

    def _notes(self) -> tuple[str, ...]:
        submodules = [path for path, entry in self._entries.items() if entry.mode == SUBMODULE]
        outside = [
            path
            for path, entry in self._entries.items()
            if entry.mode == LINK and intake.link_target(path, self._blob(entry))
        ]
        odd = [path for path in self._entries if not _is_utf8(path)]
        found = (
            (submodules, "is a submodule; I see an empty folder and cannot change it"),
            (self._pointers(), "is kept with Git LFS; I see only its pointer and cannot change it"),
            (outside, "is a symbolic link that leaves the repository; I do not follow it"),
            (odd, "has a name that is not UTF-8; I keep it as it is"),
            (sorted(self._withheld), "cannot be unpacked safely; I leave it untouched"),
        )
        return tuple(_note(paths, what) for paths, what in found if paths)

    def _pointers(self) -> list[bytes]:
        rules = [p for p in self._entries if p.rpartition(b"/")[2] == b".gitattributes"]
        if not any(b"lfs" in (self._plain(path) or b"") for path in rules):
            return []
        large = Large(self._plain)
        found: list[bytes] = []
        with suppress(TooSlow):  # a note that is not complete
            for path, entry in self._entries.items():
                plain = entry.mode not in {LINK, SUBMODULE}
                if plain and large.covers(path) and is_pointer(self._blob(entry)):
                    found.append(path)
        return found


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _note(paths: Sequence[bytes], what: str) -> str:
    if len(paths) == 1:
        return f"{show(paths[0])} {what}."
    return f"{show(paths[0])} {what}; so it is with {len(paths) - 1:,} more."
