"""Repositories, branches, commits, comparisons, files, collaborators."""

import base64
import binascii

from vibecoder.local.github import bare, refs
from vibecoder.local.github.problems import Conflict, Forbidden, Invalid, NotFound
from vibecoder.local.github.records import ROLES, Repository, Role, now, stamp
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.shapes import accounts, pulls, repositories
from vibecoder.local.github.shapes.site import Json

EMPTY = "Git Repository is empty."


def commit_of(call: Call, name: str) -> str:
    """The commit that a branch, tag or id names. Raises Conflict, Invalid."""
    folder = call.repo.folder
    if not bare.refs(folder):
        raise Conflict(EMPTY)
    sha = (
        bare.resolve(folder, f"refs/heads/{name}")
        or bare.resolve(folder, f"refs/tags/{name}")
        or bare.resolve(folder, name)
    )
    if sha is None:
        raise Invalid(f"No commit found for SHA: {name}")
    return sha


@route("GET", "/repos/{owner}/{repo}", needs="metadata:read")
def get_repository(call: Call) -> Json:
    return repositories.full_repository(call.site, call.repo, call.role(call.repo))


@route("GET", "/repositories/{id}")
def get_by_id(call: Call) -> Answer:
    found = call.world.repositories.get(call.number("id"))
    if found is None or call.role(found) == "none":
        raise NotFound
    return Answer(status=301, headers={"Location": repositories.api_url(call.site, found)})


@route("PATCH", "/repos/{owner}/{repo}", needs="administration:write", role="admin")
def edit_repository(call: Call) -> Json:
    repo = call.repo
    if "description" in call.body:
        repo.description = call.text("description")
    branch = call.text("default_branch")
    if branch is not None:
        if branch not in bare.branches(repo.folder):
            raise Invalid.field("Repository", "default_branch", "invalid")
        repo.default_branch = branch
        bare.git(repo.folder, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
    return repositories.full_repository(call.site, repo, call.role(repo))


@route("GET", "/repos/{owner}/{repo}/branches", needs="contents:read")
def list_branches(call: Call) -> Answer:
    found = sorted(bare.branches(call.repo.folder).items())
    return call.page(
        found, lambda it: repositories.short_branch(call.site, call.repo, it[0], it[1])
    )


@route("GET", "/repos/{owner}/{repo}/branches/{branch:path}", needs="contents:read")
def get_branch(call: Call) -> Json:
    name = call.params["branch"]
    sha = bare.branches(call.repo.folder).get(name)
    if sha is None:
        raise NotFound("Branch not found")
    return repositories.branch(call.site, call.repo, name, sha)


@route("GET", "/repos/{owner}/{repo}/tags", needs="contents:read")
def list_tags(call: Call) -> Answer:
    api = repositories.api_url(call.site, call.repo)
    found = sorted(bare.refs(call.repo.folder, "refs/tags/"))

    def shape(ref: str) -> Json:
        name = ref.removeprefix("refs/tags/")
        sha = bare.resolve(call.repo.folder, ref) or ""
        return {
            "name": name,
            "commit": {"sha": sha, "url": f"{api}/commits/{sha}"},
            "zipball_url": f"{api}/zipball/{ref}",
            "tarball_url": f"{api}/tarball/{ref}",
            "node_id": ref,
        }

    return call.page(found, shape)


@route("GET", "/repos/{owner}/{repo}/commits", needs="contents:read")
def list_commits(call: Call) -> Answer:
    tip = commit_of(call, call.query("sha") or call.repo.default_branch)
    found = bare.history(call.repo.folder, tip, path=call.query("path"))
    author = call.query("author").lower()
    if author:
        found = tuple(sha for sha in found if _by(call, sha, author))
    return call.page(found, lambda sha: repositories.commit(call.site, call.repo, sha))


def _by(call: Call, sha: str, author: str) -> bool:
    email = bare.commit(call.repo.folder, sha).author.email
    known = repositories.account_by_email(call.site, email)
    return author == email.lower() or (known is not None and known.login.lower() == author)


@route("GET", "/repos/{owner}/{repo}/commits/{ref:path}", needs="contents:read")
def get_commit(call: Call) -> Json | Answer:
    sha = commit_of(call, call.params["ref"])
    accept = call.request.headers.get("accept", "")
    made = bare.commit(call.repo.folder, sha)
    before = made.parents[0] if made.parents else bare.EMPTY_TREE
    if "diff" in accept:
        text = bare.diff_text(call.repo.folder, before, sha)
        return Answer(text, media="application/vnd.github.diff; charset=utf-8")
    if "sha" in accept:
        return Answer(sha, media="application/vnd.github.sha; charset=utf-8")
    return repositories.commit(call.site, call.repo, sha, files=True)


@route("GET", "/repos/{owner}/{repo}/commits/{ref:path}/pulls", needs="pull_requests:read")
def pulls_of_commit(call: Call) -> Answer:
    sha = commit_of(call, call.params["ref"])
    found = [
        it
        for it in call.repo.issues.values()
        if it.pull and sha in bare.history(
            call.repo.folder, it.pull.head_sha, without=it.pull.base_sha
        )
    ]  # fmt: skip
    return call.page(found, lambda it: pulls.simple_pull(call.site, call.repo, it))


@route("GET", "/repos/{owner}/{repo}/compare/{basehead:path}", needs="contents:read")
def compare(call: Call) -> Json | Answer:
    basehead = call.params["basehead"]
    if "..." not in basehead:
        raise NotFound
    ends = []
    for name in basehead.split("...", 1):
        owner, colon, branch = name.partition(":")
        if colon and owner.lower() != call.repo.owner.login.lower():
            raise NotFound
        try:
            ends.append(commit_of(call, branch if colon else name))
        except Invalid:
            raise NotFound from None
    base, head = ends
    start = bare.merge_base(call.repo.folder, base, head)
    if start is None:
        raise NotFound(f"No common ancestor between {base} and {head}.")
    if "diff" in call.request.headers.get("accept", ""):
        text = bare.diff_text(call.repo.folder, start, head)
        return Answer(text, media="application/vnd.github.diff; charset=utf-8")
    return repositories.comparison(call.site, call.repo, base, head)


@route("GET", "/repos/{owner}/{repo}/contents", needs="contents:read")
@route("GET", "/repos/{owner}/{repo}/contents/{path:path}", needs="contents:read")
def get_content(call: Call) -> Json | Answer:
    """A file as base64, a folder as a list; with the raw media type the bytes."""
    ref = call.query("ref") or call.repo.default_branch
    path = call.params.get("path", "").strip("/")
    try:
        at = commit_of(call, ref)
    except Conflict:
        raise NotFound("This repository is empty.") from None
    except Invalid:
        raise NotFound(f"No commit found for the ref {ref}") from None
    found = bare.entry(call.repo.folder, at, path)
    if found is None:
        raise NotFound
    if found.type == "tree":
        entries = []
        for it in bare.tree(call.repo.folder, found.sha):
            inside = f"{path}/{it.path}" if path else it.path
            entry = bare.Entry(it.mode, it.type, it.sha, it.size, inside)
            entries.append(repositories.content(call.site, call.repo, entry, ref, at))
        return Answer(entries)
    if found.type == "commit":
        return repositories.content(call.site, call.repo, found, ref, at)
    data = bare.blob(call.repo.folder, found.sha)
    if "raw" in call.request.headers.get("accept", ""):
        return Answer(data, media="application/vnd.github.raw; charset=utf-8")
    if len(data) > 100 * 1024 * 1024:
        raise Forbidden("This API returns blobs up to 100 MB in size.")
    body = repositories.content(call.site, call.repo, found, ref, at, data)
    if len(data) > 1024 * 1024:
        body |= {"content": "", "encoding": "none"}
    return body


@route("GET", "/repos/{owner}/{repo}/readme", needs="contents:read")
def get_readme(call: Call) -> Json:
    ref = call.query("ref") or call.repo.default_branch
    at = commit_of(call, ref)
    for it in bare.tree(call.repo.folder, at):
        if it.type == "blob" and it.path.lower().partition(".")[0] == "readme":
            data = bare.blob(call.repo.folder, it.sha)
            return repositories.content(call.site, call.repo, it, ref, at, data)
    raise NotFound


@route("PUT", "/repos/{owner}/{repo}/contents/{path:path}", needs="contents:write")
def put_content(call: Call) -> Answer:
    try:
        data = base64.b64decode("".join(call.required("content").split()), validate=True)
    except binascii.Error:
        raise Invalid("content is not valid Base64") from None
    return _change_file(call, data)


@route("DELETE", "/repos/{owner}/{repo}/contents/{path:path}", needs="contents:write")
def delete_content(call: Call) -> Answer:
    return _change_file(call, None)


def _change_file(call: Call, data: bytes | None) -> Answer:
    """Commits one file's new content, or its removal, on a branch."""
    repo, path = call.repo, call.params["path"].strip("/")
    if not path or any(part in ("", ".", "..", ".git") for part in path.lower().split("/")):
        raise Invalid("path contains a malformed path component")
    message = call.required("message")
    branch = call.text("branch") or repo.default_branch
    tip = bare.resolve(repo.folder, f"refs/heads/{branch}")
    if tip is None and bare.refs(repo.folder):
        raise NotFound(f"Branch {branch} not found")
    old = bare.entry(repo.folder, tip, path) if tip else None
    given = call.text("sha")
    if old is None and (data is None or given):
        raise NotFound if data is None else Invalid('Invalid request.\n\n"sha" does not match.')
    if old is not None and given is None:
        raise Invalid('Invalid request.\n\n"sha" wasn\'t supplied.')
    if old is not None and given != old.sha:
        raise Conflict(f"{path} does not match {given}")
    actor = call.actor
    blob = bare.write_blob(repo.folder, data) if data is not None else None
    tree = bare.write_tree(repo.folder, tip, [(path, old.mode if old else "100644", blob)])
    who = bare.Person(actor.account.login, call.world.noreply(actor.account), str(stamp(now())))
    made = bare.write_commit(repo.folder, tree, [tip] if tip else [], message, who)
    move(call, f"refs/heads/{branch}", tip, made)
    body: Json = {"commit": repositories.git_commit(call.site, repo, made), "content": None}
    entry = bare.entry(repo.folder, made, path)
    if entry is not None:
        body["content"] = repositories.content(call.site, repo, entry, branch, made)
    return Answer(body, 201 if old is None else 200)


def move(call: Call, ref: str, old: str | None, new: str) -> None:
    """Moves a ref for the caller, as a push would. Raises Invalid for protected branches."""
    if ref.removeprefix("refs/heads/") in call.repo.protected:
        raise Invalid("Repository rule violations found\n\nCannot update this protected ref.")
    installation = call.who.kind == "installation"
    if installation and call.who.token and "workflows" not in call.who.token.permissions:
        refs.refuse_workflows(call.repo, new)
    try:
        bare.set_ref(call.repo.folder, ref, new, old or bare.ZERO)
    except bare.GitFailed as error:
        raise Conflict("Reference update failed") from error
    refs.moved(call.world, call.repo, call.actor, ref, old or bare.ZERO, new)


# People.


def _permission(role: Role) -> str:
    """The four names of the old field: maintain counts as write, triage as read."""
    return {"maintain": "write", "triage": "read"}.get(role, role)


@route(
    "GET", "/repos/{owner}/{repo}/collaborators/{login}/permission",
    needs="metadata:read", role="read",
)  # fmt: skip
def permission(call: Call) -> Json:
    who = call.world.accounts.get(call.params["login"].lower())
    if who is None:
        raise NotFound(f"{call.params['login']} is not a user")
    if call.who.kind == "none":
        raise NotFound
    role = call.world.role(call.repo, who)
    return {
        "permission": _permission(role),
        "user": {
            **accounts.account(call.site, who),
            "permissions": repositories.permissions(role),
            "role_name": role,
        },
        "role_name": role,
    }


def _collaborators(repo: Repository) -> list[str]:
    return [login for login, role in repo.roles.items() if role != "none"]


@route("GET", "/repos/{owner}/{repo}/collaborators", needs="metadata:read", role="write")
def list_collaborators(call: Call) -> Answer:
    def shape(login: str) -> Json:
        who = call.world.account(login)
        role = call.world.role(call.repo, who)
        return {
            **accounts.account(call.site, who),
            "permissions": repositories.permissions(role),
            "role_name": role,
        }

    return call.page(_collaborators(call.repo), shape)


@route("GET", "/repos/{owner}/{repo}/collaborators/{login}", needs="metadata:read")
def is_collaborator(call: Call) -> Answer:
    wanted = call.params["login"].lower()
    if wanted not in (login.lower() for login in _collaborators(call.repo)):
        raise NotFound
    return Answer(status=204)


@route(
    "PUT", "/repos/{owner}/{repo}/collaborators/{login}",
    needs="administration:write", role="admin",
)  # fmt: skip
def add_collaborator(call: Call) -> Answer:
    who = call.world.accounts.get(call.params["login"].lower())
    if who is None:
        raise NotFound
    names = {"pull": "read", "push": "write"}
    wanted = call.text("permission") or "push"
    wanted = names.get(wanted, wanted)
    if wanted not in ROLES:
        raise Invalid.field("Repository", "permission", "invalid")
    call.repo.roles[who.login] = wanted
    return Answer(status=204)
