"""People, what they may reach, and the odd public facts: /meta, /rate_limit."""

from vibecoder.local.github.problems import NotFound
from vibecoder.local.github.records import Installation, Repository
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.shapes import accounts, repositories
from vibecoder.local.github.shapes.site import Json


@route("GET", "/user", who="user")
def me(call: Call) -> Json:
    return accounts.private_account(call.site, call.person)


@route("GET", "/users/{login}")
def get_user(call: Call) -> Json:
    found = call.world.accounts.get(call.params["login"].lower())
    if found is None:
        raise NotFound
    return accounts.public_account(call.site, found)


def _mine(call: Call, repo: Repository) -> bool:
    """A repository that belongs to a person in some way, not only by being public."""
    login = call.person.login
    return repo.owner is call.person or repo.roles.get(login, "none") != "none"


@route("GET", "/user/repos", who="user")
def my_repositories(call: Call) -> Answer:
    found = [repo for repo in call.world.repositories.values() if _mine(call, repo)]
    return call.page(found, lambda repo: repositories.repository(call.site, repo, call.role(repo)))


@route("GET", "/users/{login}/repos")
@route("GET", "/orgs/{login}/repos")
def repositories_of(call: Call) -> Answer:
    login = call.params["login"].lower()
    if login not in call.world.accounts:
        raise NotFound
    found = [
        repo
        for repo in call.world.repositories.values()
        if repo.owner.login.lower() == login and call.role(repo) != "none"
    ]
    return call.page(found, lambda repo: repositories.repository(call.site, repo, call.role(repo)))


def _reachable(call: Call, installation: Installation) -> list[Repository]:
    """Repositories of an installation that the person may see."""
    known = call.world.repositories
    found = (known[one] for one in sorted(installation.repository_ids))
    return [repo for repo in found if _mine(call, repo)]


@route("GET", "/user/installations", who="user")
def my_installations(call: Call) -> Answer:
    """Installations of the token's App with at least one repository of the person's."""
    found = [
        it
        for it in call.world.installations.values()
        if it.app is call.who.app and (it.account is call.person or _reachable(call, it))
    ]
    return call.page(found, lambda it: accounts.installation(call.site, it), key="installations")


@route("GET", "/user/installations/{id}/repositories", who="user")
def installation_repositories(call: Call) -> Answer:
    it = call.world.installations.get(call.number("id"))
    if it is None or it.app is not call.who.app:
        raise NotFound
    found = _reachable(call, it)
    if not found and it.account is not call.person:
        raise NotFound
    return call.page(
        found,
        lambda repo: repositories.repository(call.site, repo, call.role(repo)),
        key="repositories",
    )


@route("GET", "/rate_limit")
def rate_limit(call: Call) -> Json:
    key = (
        str(call.who.token.id)
        if call.who.token
        else f"app {call.who.app.id}"
        if call.who.app
        else "anonymous"
    )
    began, used = call.world.usage.get(key, (0, 0))
    limit = call.world.rate_limit
    core = {
        "limit": limit,
        "used": used,
        "remaining": max(limit - used, 0),
        "reset": began + 3600,
        "resource": "core",
    }
    other = {"limit": 30, "used": 0, "remaining": 30, "reset": began + 60, "resource": "search"}
    return {"resources": {"core": core, "search": other}, "rate": core}


@route("GET", "/meta")
def meta(call: Call) -> Json:
    return {"verifiable_password_authentication": False, "installed_version": "3.19.0"}


@route("GET", "/zen")
def zen(call: Call) -> Answer:
    return Answer("Keep it logically awesome.", media="text/plain; charset=utf-8")


@route("GET", "/")
def root(call: Call) -> Json:
    api = call.site.api
    return {
        "current_user_url": f"{api}/user",
        "rate_limit_url": f"{api}/rate_limit",
        "repository_url": f"{api}/repos/{{owner}}/{{repo}}",
        "user_url": f"{api}/users/{{user}}",
    }
