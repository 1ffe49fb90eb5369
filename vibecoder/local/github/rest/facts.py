"""What else clients ask about a repository or an account, as far as this world has an answer."""

from collections import Counter

from vibecoder.local.github import bare
from vibecoder.local.github.problems import NotFound
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.shapes import accounts, repositories
from vibecoder.local.github.shapes.site import Json

REPO = "/repos/{owner}/{repo}"
LANGUAGES = {
    "c": "C", "cpp": "C++", "css": "CSS", "go": "Go", "html": "HTML", "java": "Java",
    "js": "JavaScript", "php": "PHP", "py": "Python", "rb": "Ruby", "rs": "Rust", "sh": "Shell",
    "ts": "TypeScript", "tsx": "TypeScript",
}  # fmt: skip


@route("GET", REPO + "/languages", needs="metadata:read")
def languages(call: Call) -> Json:
    """Bytes by language, the most first. By the names of files; GitHub looks inside too."""
    tip = bare.resolve(call.repo.folder, f"refs/heads/{call.repo.default_branch}")
    sizes: Counter[str] = Counter()
    for entry in bare.tree(call.repo.folder, tip, recursive=True) if tip else ():
        name = LANGUAGES.get(entry.path.rpartition(".")[2].lower())
        if name is not None and entry.type == "blob":
            sizes[name] += entry.size or 0
    return dict(sizes.most_common())


@route("GET", REPO + "/contributors", needs="metadata:read")
def contributors(call: Call) -> Answer:
    tip = bare.resolve(call.repo.folder, f"refs/heads/{call.repo.default_branch}")
    found = Counter(
        who.login
        for sha in (bare.history(call.repo.folder, tip) if tip else ())
        if (who := repositories.account_by_email(
            call.site, bare.commit(call.repo.folder, sha).author.email
        ))
    )  # fmt: skip
    return call.page(
        found.most_common(),
        lambda it: {
            **accounts.account(call.site, call.world.account(it[0])),
            "contributions": it[1],
        },
    )


@route("GET", REPO + "/topics", needs="metadata:read")
def topics(call: Call) -> Json:
    return {"names": []}


@route("GET", REPO + "/releases", needs="contents:read")
@route("GET", REPO + "/milestones", needs="issues:read|pull_requests:read")
def none_of_them(call: Call) -> list[Json]:
    """This world has none and makes none."""
    return []


@route("GET", "/orgs/{login}")
def get_organization(call: Call) -> Json:
    found = call.world.accounts.get(call.params["login"].lower())
    if found is None or found.type != "Organization":
        raise NotFound
    return accounts.organization(call.site, found)


@route("GET", "/user/orgs", who="user")
def my_organizations(call: Call) -> list[Json]:
    """Nobody is a member of an organization here; people are collaborators."""
    return []


@route("GET", "/user/emails", who="user")
def my_addresses(call: Call) -> list[Json]:
    address = call.world.noreply(call.person)
    return [{"email": address, "primary": True, "verified": True, "visibility": None}]


@route("POST", "/graphql")
@route("POST", "/api/graphql")
def graphql(call: Call) -> Answer:
    """Said plainly, because clients of GraphQL print `errors` and little else."""
    words = "This local GitHub has no GraphQL; use its REST API."
    return Answer({"data": None, "errors": [{"type": "NOT_IMPLEMENTED", "message": words}]})
