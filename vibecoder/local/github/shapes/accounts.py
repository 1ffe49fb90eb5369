"""People, bots, Apps and installations."""

from vibecoder.local.github.records import Account, App, Installation, stamp
from vibecoder.local.github.shapes.site import Json, Site, node


def account(site: Site, who: Account) -> Json:
    """The schema `simple-user`."""
    api = f"{site.api}/users/{who.login.replace('[', '%5B').replace(']', '%5D')}"
    page = who.login.removesuffix("[bot]")
    return {
        "login": who.login,
        "id": who.id,
        "node_id": node({"User": "U", "Organization": "O", "Bot": "BOT"}[who.type], who.id),
        "avatar_url": f"{site.html}/avatars/{who.id}",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{site.html}/apps/{page}" if who.type == "Bot" else f"{site.html}/{page}",
        "followers_url": f"{api}/followers",
        "following_url": f"{api}/following{{/other_user}}",
        "gists_url": f"{api}/gists{{/gist_id}}",
        "starred_url": f"{api}/starred{{/owner}}{{/repo}}",
        "subscriptions_url": f"{api}/subscriptions",
        "organizations_url": f"{api}/orgs",
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events{{/privacy}}",
        "received_events_url": f"{api}/received_events",
        "type": who.type,
        "user_view_type": "public",
        "site_admin": False,
    }


def public_account(site: Site, who: Account) -> Json:
    """The schema `public-user`."""
    owned = [r for r in site.world.repositories.values() if r.owner is who and not r.private]
    return {
        **account(site, who),
        "name": who.name,
        "company": None,
        "blog": "",
        "location": None,
        "email": None,
        "hireable": None,
        "bio": None,
        "twitter_username": None,
        "public_repos": len(owned),
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": stamp(who.created_at),
        "updated_at": stamp(who.created_at),
    }


def private_account(site: Site, who: Account) -> Json:
    """The schema `private-user`, what one sees of oneself."""
    owned = [r for r in site.world.repositories.values() if r.owner is who and r.private]
    return {
        **public_account(site, who),
        "private_gists": 0,
        "total_private_repos": len(owned),
        "owned_private_repos": len(owned),
        "disk_usage": 0,
        "collaborators": 0,
        "two_factor_authentication": True,
    }


def organization(site: Site, owner: Account) -> Json:
    """The schema `organization-simple`."""
    api = f"{site.api}/orgs/{owner.login}"
    return {
        "login": owner.login,
        "id": owner.id,
        "node_id": node("O", owner.id),
        "url": api,
        "repos_url": f"{api}/repos",
        "events_url": f"{api}/events",
        "hooks_url": f"{api}/hooks",
        "issues_url": f"{api}/issues",
        "members_url": f"{api}/members{{/member}}",
        "public_members_url": f"{api}/public_members{{/member}}",
        "avatar_url": f"{site.html}/avatars/{owner.id}",
        "description": None,
    }


def app(site: Site, it: App) -> Json:
    """The schema `integration`."""
    return {
        "id": it.id,
        "slug": it.slug,
        "node_id": node("A", it.id),
        "client_id": it.client_id,
        "owner": account(site, it.owner),
        "name": it.name,
        "description": it.description,
        "external_url": it.url,
        "html_url": f"{site.html}/apps/{it.slug}",
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.created_at),
        "permissions": dict(it.permissions),
        "events": list(it.events),
    }


def installation(site: Site, it: Installation) -> Json:
    return {
        "id": it.id,
        "client_id": it.app.client_id,
        "account": account(site, it.account),
        "repository_selection": it.selection,
        "access_tokens_url": f"{site.api}/app/installations/{it.id}/access_tokens",
        "repositories_url": f"{site.api}/installation/repositories",
        "html_url": f"{site.html}/organizations/{it.account.login}/settings/installations/{it.id}",
        "app_id": it.app.id,
        "app_slug": it.app.slug,
        "target_id": it.account.id,
        "target_type": it.account.type,
        "permissions": dict(it.permissions),
        "events": list(it.app.events),
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.updated_at),
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": account(site, it.suspended_by) if it.suspended_by else None,
        "suspended_at": stamp(it.suspended_at),
    }
