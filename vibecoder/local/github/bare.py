"""Reads and writes bare repositories with git's plumbing. Bytes go in and out unconverted.

Calls block for milliseconds; what is asked of fixed commits is remembered, because a commit
never changes.
"""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path

ZERO = "0" * 40
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
SUBMODULE = 0o160000
MODES = {0o100644: "100644", 0o100755: "100755", 0o120000: "120000"}

Files = Mapping[str, bytes | tuple[int, bytes]] | Path
"""Paths (surrogateescape for names that are not UTF-8) to content, or to (mode, content); modes
as in git: 0o100644, 0o100755, 0o120000 with the link's target as content, 0o160000 with the
submodule's commit id. Or a folder on disk."""

# Nothing of the user's or the machine's git configuration may change what is stored or served.
ENVIRONMENT = {
    "PATH": os.defpath,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}


class GitFailed(Exception):
    """git ended with an error; the message is what it wrote."""


@dataclass(frozen=True, slots=True)
class Person:
    """An author or committer."""

    name: str
    email: str
    date: str  # "%Y-%m-%dT%H:%M:%SZ"

    def signature(self) -> str:
        """The form that commit objects hold: `name <email> seconds +0000`."""
        seconds = int(datetime.fromisoformat(self.date).timestamp())
        return f"{_clean(self.name)} <{_clean(self.email)}> {seconds} +0000"


@dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    committer: Person
    message: str


@dataclass(frozen=True, slots=True)
class Change:
    """One file's difference between two commits."""

    path: str
    previous: str | None
    status: str  # added, removed, modified, renamed
    sha: str  # blob after the change; before it for removed files
    additions: int
    deletions: int
    patch: str | None  # None for binary files and for patches over 1 MB


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree."""

    mode: str
    type: str  # blob, tree, commit
    sha: str
    size: int | None
    path: str


@cache
def _executable() -> str:
    git = shutil.which("git")
    if git is None:
        raise GitFailed("git was not found; install it to run the local GitHub.")
    return git


def git(
    folder: Path,
    *arguments: str,
    stdin: bytes = b"",
    allowed: tuple[int, ...] = (0,),
    env: Mapping[str, str] | None = None,
) -> bytes:
    """Runs git in `folder` and returns what it printed.

    Raises GitFailed where the exit code is not in `allowed`.
    """
    done = subprocess.run(  # noqa: S603  # git itself; arguments are checked by its callers
        [_executable(), *arguments],
        cwd=folder,
        input=stdin,
        capture_output=True,
        env={**ENVIRONMENT, **(env or {})},
        check=False,
    )
    if done.returncode not in allowed:
        raise GitFailed(done.stderr.decode(errors="replace").strip() or f"git {arguments[0]}")
    return done.stdout


def create(folder: Path, default_branch: str) -> None:
    """Makes an empty bare repository whose HEAD is the (unborn) default branch."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", f"--initial-branch={default_branch}", "--template=")
    (folder / "info").mkdir(exist_ok=True)


def _clean(name: str) -> str:
    """git forbids these characters in names and addresses."""
    return re.sub(r"[<>\n\0]", "", name).strip() or "nobody"


def _quote(path: str) -> bytes:
    """A path as fast-import reads it: C-style, every unusual byte in octal."""
    raw = os.fsencode(path)
    return (
        b'"'
        + b"".join(
            bytes([byte]) if 32 <= byte < 127 and byte not in b'"\\' else b"\\%03o" % byte
            for byte in raw
        )
        + b'"'
    )


def _walk(folder: Path) -> Iterable[tuple[str, int, bytes]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name == ".git" or name.startswith(".git/"):
            continue
        if path.is_symlink():
            yield name, 0o120000, os.fsencode(path.readlink())
        elif path.is_file():
            executable = path.stat().st_mode & stat.S_IXUSR
            yield name, 0o100755 if executable else 0o100644, path.read_bytes()


def commit_files(
    folder: Path,
    branch: str,
    files: Files,
    message: str,
    author: Person,
    parent: str | None = None,
) -> str:
    """Makes one commit on `branch` with exactly these bytes and returns its id.

    With a parent the files are laid over its tree; without one they are the whole tree.
    """
    out = bytearray()
    who = author.signature().encode()
    text = message.encode()
    out += b"commit refs/heads/%s\nauthor %s\ncommitter %s\n" % (branch.encode(), who, who)
    out += b"data %d\n%s\n" % (len(text), text)
    if parent:
        out += b"from %s\n" % parent.encode()
    if isinstance(files, Path):
        entries = _walk(files)
    else:
        entries = (
            (path, *(value if isinstance(value, tuple) else (0o100644, value)))
            for path, value in files.items()
        )
    for path, mode, content in entries:
        if mode == SUBMODULE:
            out += b"M 160000 %s %s\n" % (content, _quote(path))
            continue
        kind = MODES.get(mode)
        if kind is None:
            raise ValueError(f"{path}: mode {mode:o} is none of 100644, 100755 and 120000")
        out += b"M %s inline %s\n" % (kind.encode(), _quote(path))
        out += b"data %d\n%s\n" % (len(content), content)
    git(folder, "fast-import", "--quiet", "--force", "--date-format=raw", stdin=bytes(out))
    sha = resolve(folder, f"refs/heads/{branch}")
    if sha is None:
        raise GitFailed(f"{branch} was not created")
    return sha


def resolve(folder: Path, revision: str) -> str | None:
    """The id of the commit that a branch, tag, full ref or (abbreviated) id names."""
    if not revision or revision.startswith("-") or "\0" in revision:
        return None
    found = git(
        folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}",
        allowed=(0, 1, 128),
    )  # fmt: skip
    return found.decode().strip() or None


def refs(folder: Path, prefix: str = "refs/") -> dict[str, str]:
    """Full ref names under a prefix, with the ids that they point to."""
    listed = git(folder, "for-each-ref", "--format=%(refname) %(objectname)", prefix)
    rows = (line.rsplit(" ", 1) for line in listed.decode(errors="replace").splitlines())
    return {row[0]: row[1] for row in rows}


def branches(folder: Path) -> dict[str, str]:
    """Names of branches, with their tips."""
    return {
        name.removeprefix("refs/heads/"): sha for name, sha in refs(folder, "refs/heads/").items()
    }


def valid_ref(name: str) -> bool:
    """Whether git would accept this full ref name."""
    if not name.startswith("refs/") or name.count("/") < 2:
        return False
    return not re.search(
        r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/$|\.$|/\.|\.lock(/|$)", name.removeprefix("refs/")
    )


def set_ref(folder: Path, ref: str, sha: str, old: str | None = None) -> None:
    """Points a ref at a commit; with `old`, only if that is where it points now."""
    git(folder, "update-ref", ref, sha, *([old] if old else []))


def drop_ref(folder: Path, ref: str) -> None:
    git(folder, "update-ref", "-d", ref)


def is_ancestor(folder: Path, old: str, new: str) -> bool:
    """Whether `new` contains `old`, so that moving from one to the other loses nothing."""
    code = git(folder, "rev-list", "--count", f"{new}..{old}", allowed=(0, 128)).strip()
    return code == b"0"


def _person(line: str) -> Person:
    found = re.match(r"(.*?) ?<(.*)> (-?\d+) ([+-]\d{4})$", line)
    if found is None:
        return Person("nobody", "nobody@localhost", "1970-01-01T00:00:00Z")
    moment = datetime.fromtimestamp(int(found[3]), UTC)
    return Person(found[1], found[2], moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


@lru_cache(maxsize=4096)
def commit(folder: Path, sha: str) -> Commit:
    """The commit of a full id."""
    raw = git(folder, "cat-file", "commit", sha).decode(errors="replace")
    head, _, message = raw.partition("\n\n")
    fields: dict[str, list[str]] = {}
    for line in head.split("\n"):
        key, _, value = line.partition(" ")
        fields.setdefault(key, []).append(value)
    return Commit(
        sha=sha,
        tree=fields["tree"][0],
        parents=tuple(fields.get("parent", ())),
        author=_person(fields["author"][0]),
        committer=_person(fields["committer"][0]),
        message=message.removesuffix("\n"),
    )


@lru_cache(maxsize=1024)
def _history(folder: Path, arguments: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(git(folder, "rev-list", "--topo-order", *arguments).decode().split())


def history(
    folder: Path,
    tip: str,
    *,
    without: str | None = None,
    path: str = "",
    oldest_first: bool = False,
) -> tuple[str, ...]:
    """Ids of the commits that the commit `tip` contains (and `without` does not)."""
    arguments = ["--reverse"] if oldest_first else []
    arguments += [tip, *([f"^{without}"] if without else []), "--", *([path] if path else [])]
    return _history(folder, tuple(arguments))


@lru_cache(maxsize=1024)
def merge_base(folder: Path, one: str, other: str) -> str | None:
    return git(folder, "merge-base", one, other, allowed=(0, 1)).decode().strip() or None


@lru_cache(maxsize=256)
def diff_text(folder: Path, old: str, new: str) -> str:
    """The unified diff between two commits or trees, as git prints it."""
    raw = git(folder, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "-M", old, new, "--")
    return raw.decode(errors="replace")


@lru_cache(maxsize=64)
def patch_text(folder: Path, old: str, new: str) -> str:
    """The commits in mail form, as GitHub serves for `.patch`."""
    return git(folder, "format-patch", "--stdout", f"{old}..{new}").decode(errors="replace")


@lru_cache(maxsize=256)
def changes(folder: Path, old: str, new: str) -> tuple[Change, ...]:
    """The files that differ between two commits or trees, sorted by path."""
    flags = ("--no-ext-diff", "--no-textconv", "-M", "-z")
    raw = git(folder, "diff", "--raw", "--abbrev=40", *flags, old, new, "--").split(b"\0")[:-1]
    counts = git(folder, "diff", "--numstat", *flags, old, new, "--").split(b"\0")[:-1]
    lines: dict[bytes, tuple[int, int]] = {}
    rest = iter(counts)
    for row in rest:
        added, removed, name = row.split(b"\t", 2)
        if not name:  # a rename: the two names follow on their own
            next(rest)
            name = next(rest)
        lines[name] = (0, 0) if added == b"-" else (int(added), int(removed))
    patches = _patches(git(folder, "diff", "--no-color", *flags[:-1], old, new, "--"))
    found = []
    fields = iter(raw)
    for position, meta in enumerate(fields):
        _, _, before, after, letter = meta.decode().lstrip(":").split()
        name, previous = next(fields), None
        if letter[0] in "RC":
            previous, name = name, next(fields)
        status = {"A": "added", "D": "removed", "R": "renamed", "C": "copied"}.get(letter[0])
        added_lines, removed_lines = lines.get(name, (0, 0))
        found.append(
            Change(
                path=name.decode(errors="replace"),
                previous=previous.decode(errors="replace") if previous else None,
                status=status or "modified",
                sha=before if letter[0] == "D" else after,
                additions=added_lines,
                deletions=removed_lines,
                patch=patches[position] if position < len(patches) else None,
            )
        )
    return tuple(found)


def _patches(diff: bytes) -> list[str | None]:
    """The hunks of each file of a unified diff, in its order."""
    out: list[str | None] = []
    for part in re.split(rb"(?m)^diff --git ", diff)[1:]:
        at = re.search(rb"(?m)^@@ ", part)
        hunks = part[at.start() :].removesuffix(b"\n") if at else b""
        out.append(hunks.decode(errors="replace") if hunks and len(hunks) < 1_000_000 else None)
    return out


@lru_cache(maxsize=1024)
def merge(folder: Path, base: str, head: str) -> str | None:
    """The tree of merging two commits, or None where they conflict."""
    out = git(folder, "merge-tree", "--write-tree", "--no-messages", base, head, allowed=(0, 1))
    lines = out.decode(errors="replace").splitlines()
    return lines[0] if len(lines) == 1 else None


def write_commit(
    folder: Path,
    tree: str,
    parents: Iterable[str],
    message: str,
    author: Person,
    committer: Person | None = None,
) -> str:
    """Stores a commit object and returns its id."""
    committer = committer or author
    text = f"tree {tree}\n" + "".join(f"parent {parent}\n" for parent in parents)
    text += f"author {author.signature()}\ncommitter {committer.signature()}\n\n{message}"
    return git(
        folder, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode()
    ).decode().strip()  # fmt: skip


def write_blob(folder: Path, content: bytes) -> str:
    return git(folder, "hash-object", "-w", "--stdin", stdin=content).decode().strip()


def tree(folder: Path, treeish: str, *, recursive: bool = False) -> list[Entry]:
    """The entries of a tree; with `recursive` those of its subtrees as well."""
    flags = ["-r", "-t"] if recursive else []
    raw = git(folder, "ls-tree", "-z", "-l", *flags, treeish).split(b"\0")[:-1]
    out = []
    for row in raw:
        meta, path = row.split(b"\t", 1)
        mode, kind, sha, size = meta.decode().split()
        length = None if size == "-" else int(size)
        out.append(Entry(mode, kind, sha, length, path.decode(errors="replace")))
    return out


def write_tree(
    folder: Path, base: str | None, entries: Iterable[tuple[str, str, str | None]]
) -> str:
    """The tree of `base` with entries (path, mode, id or None to remove) laid over it."""
    index = folder / f"index-{os.urandom(8).hex()}"
    env = {"GIT_INDEX_FILE": str(index), "GIT_DIR": str(folder)}
    try:
        git(folder, "read-tree", *([base] if base else ["--empty"]), env=env)
        lines = "".join(
            f"{mode if sha else '0'} {sha or ZERO}\t{path}\0" for path, mode, sha in entries
        )
        git(folder, "update-index", "-z", "--index-info", stdin=lines.encode(), env=env)
        return git(folder, "write-tree", env=env).decode().strip()
    finally:
        index.unlink(missing_ok=True)


def entry(folder: Path, treeish: str, path: str) -> Entry | None:
    """The entry at a path, None where there is none; the root is a tree without a path."""
    path = path.strip("/")
    if not path:
        sha = git(folder, "rev-parse", f"{treeish}^{{tree}}").decode().strip()
        return Entry("040000", "tree", sha, None, "")
    raw = git(
        folder, "--literal-pathspecs", "ls-tree", "-z", "-l", treeish, "--", path
    ).split(b"\0")[0]  # fmt: skip
    if not raw:
        return None
    mode, kind, sha, size = raw.split(b"\t", 1)[0].decode().split()
    return Entry(mode, kind, sha, None if size == "-" else int(size), path)


def blob(folder: Path, sha: str) -> bytes:
    """The content of a blob. Raises GitFailed where there is none."""
    return git(folder, "cat-file", "blob", sha)


def kind(folder: Path, sha: str) -> str | None:
    """The type of an object: commit, tree, blob, tag; None where it does not exist."""
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        return None
    return git(folder, "cat-file", "-t", sha, allowed=(0, 128)).decode().strip() or None
