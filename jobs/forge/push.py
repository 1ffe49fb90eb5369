"""A push that moves a branch only from where we know it to be, and why one may be refused."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from dulwich.errors import SendPackError
from dulwich.objects import ObjectID, ShaFile
from dulwich.pack import full_unpacked_object
from dulwich.refs import Ref

from jobs.forge.errors import PushRefusal, PushRefused
from jobs.forge.remote import Remote, branch_ref, connect, patiently, remote_head, sentence

PUSH_SECONDS = 300.0


def push(
    remote: Remote, branch: str, sha: str, objects: Sequence[ShaFile], *, expect: str | None
) -> None:
    """Moves `branch` to `sha`, whose new objects are `objects`, if it still points to `expect`.

    `expect` None: the branch must not exist yet. A branch that is at `sha` already is fine, so
    that a push whose answer was lost can be repeated. Raises PushRefused and GitError's others.
    """
    ref = Ref(branch_ref(branch))
    new = ObjectID(sha.encode())
    old = ObjectID(expect.encode()) if expect else None

    def attempt(left: float) -> None:
        said: list[bytes] = []  # the server's messages for people
        asked = False  # whether the ref has to move at all

        def update(refs: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            nonlocal asked
            now = refs.get(ref)
            if now == new:
                return {}
            if now != old:
                where = f"it is now at {now[:8].decode()}" if now else "it is gone"
                raise _stale(remote, branch, where)
            asked = True
            return {ref: new}

        def pack(*_: object, **__: object) -> tuple[int, Iterator[Any]]:
            return len(objects), (full_unpacked_object(each) for each in objects)

        with connect(remote, left) as client:
            try:
                result = client.send_pack(b"", update, pack, progress=said.append)
            except SendPackError as error:  # the pack as a whole
                raise _refusal(remote, branch, str(error), said) from None
            # A refused ref is data, and no word about it at all is no success.
            status = (result.ref_status or {}).get(ref, "unknown" if asked else None)
            if status == "unknown":
                raise client.unreachable("it did not say whether it took the push")
        if status:
            raise _refusal(remote, branch, status, said)

    try:
        patiently(PUSH_SECONDS, attempt)
    except PushRefused as refused:
        # A server still busy with our own earlier attempt refuses the repeat as stale.
        if refused.kind != "stale" or remote_head(remote, branch) != sha:
            raise


def _stale(remote: Remote, branch: str, where: str) -> PushRefused:
    return PushRefused(
        "stale",
        f"Somebody else changed the branch `{branch}` of {remote.name} meanwhile ({where}), so I "
        "did not push over it.",
    )


# The words that GitHub and git use for refusals: the status of the ref, or the remote's messages.
# "GH001" and friends: https://docs.github.com/en/get-started/using-git/troubleshooting
_KINDS: tuple[tuple[PushRefusal, str], ...] = (
    ("workflow", r"without `?workflows?`? (permission|scope)|update workflow"),
    ("secret", r"push protection|cannot contain secrets|secret scanning"),
    ("too_large", r"GH001|file size limit|exceeds maximum|pack .*too large|too large"),
    ("protected", r"GH006|GH013|protected branch|rule violations|hidden ref|prohibited"),
    ("permission", r"permission|denied to|write access|archived|read-only"),
    (
        "stale",
        r"non-fast-forward|fetch first|stale info|failed to update ref|cannot lock ref"
        r"|already exists|missing necessary objects|incorrect old value|reference changed",
    ),
)


def _kind(words: str) -> PushRefusal:
    for kind, pattern in _KINDS:
        if re.search(pattern, words, re.IGNORECASE):
            return kind
    return "hook"


_ADVICE: dict[PushRefusal, str] = {
    "workflow": "The App has no permission to change workflow files; make that change yourself.",
    "secret": "A secret was found in the change; it must be taken out before it can be pushed.",
    "too_large": "A file, or the whole push, is over the server's limit.",
    "protected": "A rule of the repository protects the branch; let the App's branches through.",
    "permission": "The App may not write here: its permission, or an archived repository.",
    "hook": "A rule of the server declined it.",
}


def _refusal(remote: Remote, branch: str, status: str, said: Sequence[bytes]) -> PushRefused:
    words = b"".join(said)
    kind = _kind(status + "\n" + words.decode("utf-8", "replace"))
    if kind == "stale":
        return _stale(remote, branch, "it moved")
    return PushRefused(
        kind,
        f"{remote.name} did not take the push to `{branch}`. {_ADVICE[kind]} "
        f"It said: {sentence(words or status.encode())}",
    )
