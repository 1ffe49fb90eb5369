"""What changed between two versions: line counts, and a unified diff of bounded size."""

from collections import Counter
from difflib import SequenceMatcher
from io import BytesIO

from dulwich.diff_tree import tree_changes
from dulwich.object_store import BaseObjectStore
from dulwich.objects import ObjectID, TreeEntry
from dulwich.patch import write_object_diff

from jobs.forge.intake import readable

_MAX_BLOB = 200_000  # bytes of a file whose diff is worth the time
_MAX_WORK = 4_000_000  # lines times lines; a second of difflib at worst


def count(old: bytes, new: bytes) -> tuple[int, int]:
    """(lines added, lines deleted), (0, 0) for binary content.

    As git counts them; for very large rewrites lines that only moved count as neither.
    """
    if b"\0" in old[:8000] or b"\0" in new[:8000]:
        return 0, 0
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    start = 0
    while start < min(len(before), len(after)) and before[start] == after[start]:
        start += 1
    end = 0
    while end < min(len(before), len(after)) - start and before[-1 - end] == after[-1 - end]:
        end += 1
    before, after = before[start : len(before) - end], after[start : len(after) - end]
    if len(before) * len(after) > _MAX_WORK:
        was, now = Counter(before), Counter(after)
        return (now - was).total(), (was - now).total()
    same = sum(
        block.size
        for block in SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    )
    return len(after) - same, len(before) - same


def unified(store: BaseObjectStore, old: ObjectID, new: ObjectID, max_bytes: int) -> str:
    """The diff of two trees in git's format; what does not fit is named at the end."""
    out = BytesIO()
    left_out: list[str] = []
    for change in tree_changes(store, old, new):
        before, after = _side(change.old), _side(change.new)
        path = after[0] or before[0] or b""
        text = BytesIO()
        if out.tell() < max_bytes and _fits(store, before[2]) and _fits(store, after[2]):
            write_object_diff(text, store, before, after)
        if text.tell() and out.tell() + text.tell() <= max_bytes:
            out.write(text.getvalue())
        else:
            left_out.append(path.decode())
    words = out.getvalue().decode("utf-8", "replace")
    if left_out:
        names = ", ".join(left_out[:10]) + (" …" if len(left_out) > 10 else "")
        words += f"\\ {len(left_out)} more files changed, too large to show here: {names}\n"
    return words


def _side(entry: TreeEntry | None) -> tuple[bytes | None, int | None, ObjectID | None]:
    if entry is None:
        return None, None, None
    # dulwich writes headers only of names that are UTF-8.
    return readable(entry.path).encode(), entry.mode, entry.sha


def _fits(store: BaseObjectStore, sha: ObjectID | None) -> bool:
    if sha is None or sha not in store:  # submodules name commits of elsewhere
        return True
    return len(store.get_raw(sha)[1]) <= _MAX_BLOB
