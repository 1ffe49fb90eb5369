"""What may come back from a sandbox: policy on names, modes and sizes. Pure, no I/O.

A manifest is the sandbox's word for what it holds: b"100644 <sha1 of the blob>\\tpath\\0" for
each file, with " <bytes>" after the sha where the sandbox tells sizes. Symbolic links have mode
120000, and what git cannot hold is b"000000 <what it is>\\tpath\\0". All of it is hostile until
checked. A refusal is a sentence for the agent, so that it can mend what it did, and for people.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from dulwich.index import HFS_IGNORABLE_CHARS, validate_path_element_ntfs

FILE, PROGRAM, LINK, SUBMODULE, OTHER = 0o100644, 0o100755, 0o120000, 0o160000, 0

MAX_FILE = 10_000_000  # bytes; GitHub refuses files over 100 MB, and diffs stop long before
MAX_STEP = 50_000_000  # bytes of changed files in one commit
MAX_CHANGES = 3_000  # changed files in one commit; GitHub lists at most 3,000 in a pull request
MAX_LISTED = 400_000  # files in a manifest
MAX_MANIFEST = 200_000_000  # bytes
MAX_PATH = 4096  # bytes, Linux's PATH_MAX
MAX_DEPTH = 100  # components of a path
MAX_TOLD = 40  # refusals that are told one by one

Kind = Literal[
    "git_dir",  # a .git of any spelling
    "name",  # a path that is unsafe elsewhere
    "clash",  # two names that are one on other systems
    "link",  # a symbolic link that leaves the repository, or where none may be
    "special",  # device, fifo, socket
    "too_large",  # one file, or all together
    "too_many",  # more files than a commit of ours may touch
    "submodule",  # submodules and .gitmodules
    "lfs",  # content where a Git LFS pointer belongs
    "workflow",  # definitions of CI
    "owners",  # CODEOWNERS
    "settings",  # our own settings
    "secret",  # looks like a credential
    "moved",  # changed while it was being read
    "broken",  # the sandbox's answer makes no sense
    "nothing",  # no change at all
]


@dataclass(frozen=True, slots=True)
class Refused:
    """One thing that was not taken, and why."""

    path: str  # for reading; empty where it is about the whole
    kind: Kind
    reason: str  # a sentence or two: what, and what to do about it


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a manifest."""

    path: bytes
    mode: int  # FILE, PROGRAM, LINK, or OTHER
    sha: bytes  # 40 hex digits; for OTHER the kind, such as b"fifo"
    size: int | None = None  # bytes, where the manifest tells


@dataclass(frozen=True, slots=True)
class Changes:
    """How a sandbox's files differ from a commit.

    Either `refused` is empty and `take` and `deleted` are the whole difference, or the step cannot
    be committed before what was refused is mended.
    """

    head_sha: str  # the commit compared with
    listed: tuple[Listed, ...]
    deleted: tuple[bytes, ...]
    refused: tuple[Refused, ...]
    left_out: frozenset[bytes]  # new files that .gitignore covers: they are in no commit

    @property
    def ignored(self) -> int:
        return len(self.left_out)

    @property
    def take(self) -> tuple[bytes, ...]:
        """The paths whose content must be fetched from the sandbox."""
        return tuple(each.path for each in self.listed)

    @property
    def empty(self) -> bool:
        return not (self.listed or self.deleted or self.refused)


class BrokenManifest(ValueError):
    """The manifest does not have its form; the message says where."""


_LINE = re.compile(
    rb"(?:(100644|100755|120000) ([0-9a-f]{40})(?: (\d{1,15}))?|000000 ([\x20-\x7e]{1,64}))\t(.+)",
    re.DOTALL,
)


def parse_manifest(data: bytes) -> dict[bytes, Listed]:
    """The lines of a manifest by path. Raises BrokenManifest."""
    if len(data) > MAX_MANIFEST:
        raise BrokenManifest(f"it is larger than {MAX_MANIFEST / 1e6:.0f} MB")
    if data and not data.endswith(b"\0"):
        raise BrokenManifest("it was cut short")
    listed: dict[bytes, Listed] = {}
    for line in data.split(b"\0")[:-1]:
        match = _LINE.fullmatch(line)
        if match is None:
            raise BrokenManifest(f"one line is {line[:80]!r}")
        mode, sha, size, kind, path = match.groups()
        if path in listed:
            raise BrokenManifest(f"{show(path)} is in it twice")
        listed[path] = Listed(path, int(mode or b"0", 8), sha or kind, int(size) if size else None)
        if len(listed) > MAX_LISTED:
            raise BrokenManifest(f"it names more than {MAX_LISTED:,} files")
    for path in listed:
        if any(part in {b"", b".", b".."} for part in path.split(b"/")):
            raise BrokenManifest(f"{show(path)} is not a path inside the repository")
        for parent in parents(path):
            if parent in listed and listed[parent].mode != OTHER:
                raise BrokenManifest(f"{show(parent)} is both a file and a folder")
    return listed


def parents(path: bytes) -> Iterator[bytes]:
    """b"a/b/c" → b"a", b"a/b"."""
    at = path.find(b"/")
    while at != -1:
        yield path[:at]
        at = path.find(b"/", at + 1)


def show(path: bytes) -> str:
    """A path for a sentence: printable, in backticks, at most 120 characters."""
    text = path.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() and c != "`" else f"\\x{ord(c):02x}" for c in text)
    return f"`{text if len(text) <= 120 else text[:59] + '…' + text[-60:]}`"


def readable(path: bytes) -> str:
    """A path as text; bytes that are no UTF-8 become \\xNN."""
    return path.decode("utf-8", "backslashreplace")


@lru_cache(maxsize=50_000)
def fold(component: bytes) -> str:
    """A path component as the most forgiving file systems (HFS+, NTFS) see it."""
    text = component.decode("utf-8", "surrogateescape")
    text = "".join(c for c in text if ord(c) not in HFS_IGNORABLE_CHARS)
    return unicodedata.normalize("NFC", text).casefold().rstrip(" .")


def is_git_dir(component: bytes) -> bool:
    """Whether some file system would take this component for ".git"."""
    return fold(component) in {".git", "git~1"} or not validate_path_element_ntfs(component)


def unsafe(path: bytes) -> bool:
    """Whether unpacking a repository's path could fail, leave the folder or hit a .git."""
    parts = path.split(b"/")
    return len(path) >= MAX_PATH or any(
        part in {b"", b".", b".."} or len(part) > 255 or is_git_dir(part) for part in parts
    )


def new_name(path: bytes) -> Refused | None:
    """What is wrong with the name of a file that was not in the repository before."""
    parts = path.split(b"/")
    for depth, part in enumerate(parts):
        if is_git_dir(part):
            folder = b"/".join(parts[: depth + 1])
            return _refused(
                folder,
                "git_dir",
                "is, or on some systems would be, a git folder, which a commit must not contain. "
                "Delete it; git itself is not needed here, every finished step is committed.",
            )
    if len(path) > MAX_PATH or len(parts) > MAX_DEPTH or max(map(len, parts)) > 255:
        return _refused(path, "name", "has a path that is too long or too deep for others to use.")
    text = path.decode("utf-8", "surrogateescape")
    if any(unicodedata.category(c) in {"Cc", "Zl", "Zp"} or c in _BIDI for c in text):
        return _refused(
            path, "name", "has invisible control characters in its name. Give it a plain name."
        )
    return None


_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def kind_problem(entry: Listed) -> Refused | None:
    """What is wrong with the kind or size of a new or changed file."""
    if entry.mode == OTHER:
        kind = entry.sha.decode("ascii")
        what = "cannot be read" if kind == "unreadable" else f"is a {kind}, which git cannot hold"
        return _refused(entry.path, "special", f"{what}. Delete it, or list it in .gitignore.")
    if entry.size is not None and entry.size > MAX_FILE:
        return too_large(entry.path, entry.size)
    name = fold(entry.path.rpartition(b"/")[2])
    if entry.mode == LINK and (name in _PLAIN_ONLY or _SHORT_NAME.fullmatch(name)):
        return _refused(entry.path, "link", "must be a plain file, not a symbolic link.")
    return None


_PLAIN_ONLY = frozenset({".gitignore", ".gitattributes", ".gitmodules", ".mailmap"})
# NTFS's short names for them, as in git's own fsck.
_SHORT_NAME = re.compile(r"(gi7eba|gi250a|gi7d29|maba30|gitmod|gitign|gitatt|mailma)~\d")


_CI_FILES = frozenset(
    {
        ".gitlab-ci.yml", ".travis.yml", "azure-pipelines.yml", "jenkinsfile", ".drone.yml",
        "bitbucket-pipelines.yml", ".woodpecker.yml", "appveyor.yml", ".appveyor.yml",
        ".cirrus.yml", ".github/dependabot.yml", ".github/dependabot.yaml",
    }
)  # fmt: skip
_CI_FOLDERS = (".github/workflows", ".github/actions", ".circleci", ".buildkite", ".woodpecker")
_OWNERS = frozenset({"codeowners", ".github/codeowners", "docs/codeowners", ".gitlab/codeowners"})
_SETTINGS = frozenset({".github/vibecode.yml", ".github/vibecode.yaml"})
_BACK = "Put its former content back (or delete it, if it is new) and tell people what to change."


def protected(path: bytes) -> Refused | None:
    """Whether a person must make a change here: it decides what runs, or who approves."""
    folded = "/".join(map(fold, path.split(b"/")))
    if folded in _CI_FILES or any(folded == f or folded.startswith(f + "/") for f in _CI_FOLDERS):
        return _refused(path, "workflow", f"belongs to the CI, which I may not change. {_BACK}")
    if folded in _OWNERS:
        return _refused(
            path, "owners", f"decides who approves changes; I may not touch it. {_BACK}"
        )
    if folded in _SETTINGS:
        return _refused(path, "settings", f"sets my own limits; I may not change it. {_BACK}")
    if folded.rpartition("/")[2] == ".gitmodules":
        return _refused(path, "submodule", f"defines submodules, which I may not change. {_BACK}")
    return None


def inside_submodule(path: bytes) -> Refused:
    return _refused(
        path, "submodule", "lies in a submodule, whose content is kept elsewhere. Delete it."
    )


def in_the_way(path: bytes) -> Refused:
    return _refused(
        path,
        "submodule",
        "stands where a folder with things that I must keep was, such as a submodule. "
        "Delete it and make that folder again.",
    )


def link_target(path: bytes, target: bytes) -> Refused | None:
    """What is wrong with where a new symbolic link points.

    ".." may only lead: after a name it could climb out of wherever another link went.
    """
    parts = target.split(b"/")
    ups = 0
    while ups < len(parts) and parts[ups] in {b"..", b"."}:
        ups += 1
    climbs = parts[:ups].count(b"..")
    if not target or target.startswith(b"/") or b"\0" in target or len(target) > MAX_PATH:
        return _refused(path, "link", "is a symbolic link to an absolute path. Make it relative.")
    if climbs > path.count(b"/") or b".." in parts[ups:]:
        return _refused(path, "link", "is a symbolic link that leaves the repository. Remove it.")
    if any(is_git_dir(part) for part in parts[ups:] if part not in {b"", b"."}):
        return _refused(path, "link", "is a symbolic link into a git folder. Remove it.")
    return None


def too_large(path: bytes, size: int) -> Refused:
    return _refused(
        path,
        "too_large",
        f"is {size / 1e6:,.0f} MB large; a file may have {MAX_FILE / 1e6:.0f} MB. If a build or a "
        "test made it, delete it or list it in .gitignore.",
    )


def too_much(total: int) -> Refused:
    return Refused(
        "",
        "too_large",
        f"The changed files have more than {min(total, MAX_STEP) / 1e6:,.0f} MB together. "
        "Delete what a build or a test made, or list it in .gitignore.",
    )


def too_many(paths: Iterable[bytes]) -> Refused:
    folders = Counter(path.partition(b"/")[0] for path in paths)
    folder, most = folders.most_common(1)[0]
    return Refused(
        readable(folder),
        "too_many",
        f"{folders.total():,} files were changed, {most:,} of them in {show(folder)}; one step may "
        f"change {MAX_CHANGES:,}. Delete what was installed or built, or list it in .gitignore.",
    )


def lfs_content(path: bytes) -> Refused:
    return _refused(
        path,
        "lfs",
        "is kept with Git LFS, which I cannot write to. Put its former content back.",
    )


def secret(path: bytes, line: int, what: str) -> Refused:
    return _refused(
        path,
        "secret",
        f"has what looks like {what} in line {line}. Take it out; if it is made up for a test, "
        "build it from parts so that nobody mistakes it for a real one.",
    )


def moved(path: bytes) -> Refused:
    return _refused(
        path,
        "moved",
        "changed while it was being saved. Stop what runs in the background, then finish again.",
    )


def broken(what: str) -> Refused:
    return Refused("", "broken", f"The sandbox's files could not be read: {what}.")


def clashes(paths: Iterable[bytes], new: frozenset[bytes]) -> list[Refused]:
    """New paths that another path of the result would swallow on macOS or Windows.

    Only pairs with a new path count: what the repository had before is its own affair.
    """
    seen: dict[str, bytes] = {}
    fresh = {part for path in new for part in (path, *parents(path))}
    found: dict[bytes, Refused] = {}
    for path in paths:
        for part in (path, *parents(path)):
            key = "/".join(map(fold, part.split(b"/")))
            other = seen.setdefault(key, part)
            if other == part:
                continue
            mine = part if part in fresh else other
            if mine in fresh and mine not in found:
                found[mine] = _refused(
                    mine,
                    "clash",
                    f"and {show(other if mine == part else part)} are the same name on macOS or "
                    "Windows. Rename one of them.",
                )
    return list(found.values())


def told(refused: Iterable[Refused]) -> tuple[Refused, ...]:
    """Each refusal once, sorted by path, and not more of them than somebody reads."""
    unique: Mapping[tuple[str, str], Refused] = {(r.path, r.kind): r for r in refused}
    ordered = [unique[key] for key in sorted(unique)]
    if len(ordered) > MAX_TOLD:
        rest = len(ordered) - MAX_TOLD
        last = ordered[MAX_TOLD]
        more = Refused("", last.kind, f"{rest:,} more files were refused for such reasons.")
        ordered = [*ordered[:MAX_TOLD], more]
    return tuple(ordered)


def _refused(path: bytes, kind: Kind, why: str) -> Refused:
    return Refused(readable(path), kind, f"{show(path)} {why}")
