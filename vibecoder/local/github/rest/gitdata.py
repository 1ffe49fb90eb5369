"""The Git database: refs, commits, trees, blobs, tags' refs."""

import base64
import binascii
import re
from typing import Any

from vibecoder.local.github import bare, refs
from vibecoder.local.github.problems import Conflict, Invalid, NotFound
from vibecoder.local.github.records import now, stamp
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.rest.repos import EMPTY, move
from vibecoder.local.github.shapes import repositories
from vibecoder.local.github.shapes.site import Json

HEX = re.compile(r"[0-9a-f]{40}")


def _full(name: str) -> str:
    return name if name.startswith("refs/") else f"refs/{name}"


def _matching(call: Call, prefix: str) -> Answer:
    found = sorted(
        (name, sha) for name, sha in bare.refs(call.repo.folder).items() if name.startswith(prefix)
    )
    return call.page(found, lambda it: repositories.ref(call.site, call.repo, *it))


@route("GET", "/repos/{owner}/{repo}/git/refs", needs="contents:read")
def list_refs(call: Call) -> Answer:
    if not bare.refs(call.repo.folder):
        raise Conflict(EMPTY)
    return _matching(call, "refs/")


@route("GET", "/repos/{owner}/{repo}/git/matching-refs/{ref:path}", needs="contents:read")
def matching_refs(call: Call) -> Answer:
    return _matching(call, _full(call.params["ref"]))


@route("GET", "/repos/{owner}/{repo}/git/ref/{ref:path}", needs="contents:read")
@route("GET", "/repos/{owner}/{repo}/git/refs/{ref:path}", needs="contents:read")
def get_ref(call: Call) -> Json:
    name = _full(call.params["ref"])
    found = bare.refs(call.repo.folder)
    if not found:
        raise Conflict(EMPTY)
    if name not in found:
        raise NotFound
    return repositories.ref(call.site, call.repo, name, found[name])


@route("POST", "/repos/{owner}/{repo}/git/refs", needs="contents:write")
def create_ref(call: Call) -> Answer:
    name, sha = call.required("ref"), call.required("sha")
    if not bare.refs(call.repo.folder):
        raise Conflict(EMPTY)
    if not bare.valid_ref(name) or name.startswith("refs/pull/"):
        raise Invalid(f"{name} is not a valid ref name.")
    if bare.kind(call.repo.folder, sha) is None:
        raise Invalid("Object does not exist")
    if name in bare.refs(call.repo.folder):
        raise Invalid("Reference already exists")
    move(call, name, None, sha)
    return Answer(
        repositories.ref(call.site, call.repo, name, sha),
        201,
        {"Location": f"{repositories.api_url(call.site, call.repo)}/git/{name}"},
    )


@route("PATCH", "/repos/{owner}/{repo}/git/refs/{ref:path}", needs="contents:write")
def update_ref(call: Call) -> Json:
    name, sha = _full(call.params["ref"]), call.required("sha")
    old = bare.refs(call.repo.folder).get(name)
    if old is None:
        raise Invalid("Reference does not exist")
    if bare.kind(call.repo.folder, sha) is None:
        raise Invalid("Object does not exist")
    if not call.body.get("force") and not bare.is_ancestor(call.repo.folder, old, sha):
        raise Invalid("Update is not a fast forward")
    if old != sha:
        move(call, name, old, sha)
    return repositories.ref(call.site, call.repo, name, sha)


@route("DELETE", "/repos/{owner}/{repo}/git/refs/{ref:path}", needs="contents:write")
def delete_ref(call: Call) -> Answer:
    name = _full(call.params["ref"])
    old = bare.refs(call.repo.folder).get(name)
    if old is None:
        raise Invalid("Reference does not exist")
    branch = name.removeprefix("refs/heads/")
    if branch in call.repo.protected or branch == call.repo.default_branch:
        raise Invalid("Cannot delete this protected ref.")
    bare.drop_ref(call.repo.folder, name)
    refs.moved(call.world, call.repo, call.actor, name, old, bare.ZERO)
    return Answer(status=204)


@route("GET", "/repos/{owner}/{repo}/git/commits/{sha}", needs="contents:read")
def get_commit(call: Call) -> Json:
    sha = call.params["sha"]
    if bare.kind(call.repo.folder, sha) != "commit":
        raise NotFound
    return repositories.git_commit(call.site, call.repo, sha)


def _person(call: Call, value: Any) -> bare.Person:
    """The author that was given, or the caller."""
    moment = str(stamp(now()))
    if isinstance(value, dict):
        return bare.Person(
            str(value.get("name", "")), str(value.get("email", "")), value.get("date") or moment
        )
    who = call.actor.account
    return bare.Person(who.login, call.world.noreply(who), moment)


@route("POST", "/repos/{owner}/{repo}/git/commits", needs="contents:write")
def create_commit(call: Call) -> Answer:
    message, tree = call.required("message"), call.required("tree")
    folder = call.repo.folder
    if bare.kind(folder, tree) != "tree":
        raise Invalid("Tree SHA does not exist")
    parents = [str(parent) for parent in call.strings("parents")]
    if any(bare.kind(folder, parent) != "commit" for parent in parents):
        raise Invalid("Parent SHA does not exist or is not a commit object")
    author = _person(call, call.body.get("author"))
    committer = _person(call, call.body.get("committer") or call.body.get("author"))
    try:
        sha = bare.write_commit(folder, tree, parents, message, author, committer)
    except ValueError:
        raise Invalid("Invalid request.\n\nThe date is not ISO 8601.") from None
    return Answer(repositories.git_commit(call.site, call.repo, sha), 201)


@route("GET", "/repos/{owner}/{repo}/git/trees/{sha:path}", needs="contents:read")
def get_tree(call: Call) -> Json:
    name, folder = call.params["sha"], call.repo.folder
    sha = name if bare.kind(folder, name) == "tree" else None
    if sha is None:
        commit = bare.resolve(folder, f"refs/heads/{name}") or bare.resolve(folder, name)
        if commit is None:
            raise NotFound
        sha = bare.commit(folder, commit).tree
    entries = bare.tree(folder, sha, recursive=bool(call.query("recursive")))
    return repositories.tree(call.site, call.repo, sha, entries)


@route("POST", "/repos/{owner}/{repo}/git/trees", needs="contents:write")
def create_tree(call: Call) -> Answer:
    """`tree[]` of path, mode and sha (null removes) or content, over `base_tree`."""
    folder = call.repo.folder
    base = call.text("base_tree")
    if base is not None and bare.kind(folder, base) not in ("tree", "commit"):
        raise Invalid("base_tree is not a tree")
    entries: list[tuple[str, str, str | None]] = []
    for row in call.strings("tree"):
        if not isinstance(row, dict):
            raise Invalid("Invalid request.\n\nFor 'properties/tree', it is no array of objects.")
        path, mode = str(row.get("path", "")), str(row.get("mode", "100644"))
        parts = path.lower().split("/")
        if not path or any(part in ("", ".", "..", ".git") for part in parts) or "\0" in path:
            raise Invalid("tree.path contains a malformed path component")
        if mode not in ("100644", "100755", "040000", "160000", "120000"):
            raise Invalid("tree.mode must be one of 100644, 100755, 040000, 160000, 120000")
        sha = row.get("sha")
        if "content" in row:
            sha = bare.write_blob(folder, str(row["content"]).encode())
        if mode == "040000" and isinstance(sha, str):
            entries += [
                (f"{path}/{it.path}", it.mode, it.sha)
                for it in bare.tree(folder, sha, recursive=True)
                if it.type != "tree"
            ]
            continue
        if sha is not None and mode != "160000" and bare.kind(folder, str(sha)) is None:
            raise Invalid(f"tree.sha {sha} is not a valid blob")
        entries.append((path, mode, sha))
    sha = bare.write_tree(folder, base, entries)
    return Answer(repositories.tree(call.site, call.repo, sha, bare.tree(folder, sha)), 201)


@route("GET", "/repos/{owner}/{repo}/git/blobs/{sha}", needs="contents:read")
def get_blob(call: Call) -> Json | Answer:
    sha = call.params["sha"]
    if bare.kind(call.repo.folder, sha) != "blob":
        raise NotFound
    data = bare.blob(call.repo.folder, sha)
    if "raw" in call.request.headers.get("accept", ""):
        return Answer(data, media="application/vnd.github.raw; charset=utf-8")
    return {
        "sha": sha,
        "node_id": f"B_{sha}",
        "size": len(data),
        "url": f"{repositories.api_url(call.site, call.repo)}/git/blobs/{sha}",
        "content": base64.encodebytes(data).decode(),
        "encoding": "base64",
    }


@route("POST", "/repos/{owner}/{repo}/git/blobs", needs="contents:write")
def create_blob(call: Call) -> Answer:
    content = call.text("content")
    if content is None:
        raise Invalid('Invalid request.\n\n"content" wasn\'t supplied.')
    data = content.encode()
    if call.text("encoding") == "base64":
        try:
            data = base64.b64decode("".join(content.split()), validate=True)
        except binascii.Error:
            raise Invalid("content is not valid Base64") from None
    sha = bare.write_blob(call.repo.folder, data)
    url = f"{repositories.api_url(call.site, call.repo)}/git/blobs/{sha}"
    return Answer({"sha": sha, "url": url}, 201)
