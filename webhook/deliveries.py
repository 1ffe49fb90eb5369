"""A GitHub delivery becomes a Command, or is ignored for a stated reason. Pure, never raises.

A tolerant reader: only the few fields needed are looked at, because real payloads differ from any
published schema. The headers are not signed, so the body must have the shape of the event that the
header names, and requests are told apart by facts inside the body alone.

Payloads: https://docs.github.com/webhooks/webhook-events-and-payloads
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from jobs.commands import (
    About,
    AcceptPlan,
    Actor,
    AskStatus,
    AskWhy,
    CancelJob,
    Command,
    Comment,
    EndSessions,
    Explain,
    Forget,
    Ignored,
    Issue,
    Repository,
    Request,
    RetryJob,
    RevisePlan,
    SetBudget,
    Several,
    StartJob,
)
from jobs.queue.store import Delivery
from webhook import slash
from webhook.plain import plain

_BIGGEST_ID = 2**63 - 1
EDITED = (
    "I follow comments as they are written, not as they are edited: what was read and what is "
    "there could differ. Please say it in a new comment."
)


class _Unreadable(ValueError):
    """The body lacks something that its event always has. Never leaves this file."""


def reader(app_id: int | None, allow: Iterable[str]) -> Callable[[Delivery], Command | Ignored]:
    """What the worker's sweep needs: a kept delivery becomes a command or the reason for none."""
    accounts = tuple(allow)

    def read(delivery: Delivery) -> Command | Ignored:
        found = parse(delivery.event, delivery.body, app_id, accounts)
        if isinstance(found, EndSessions):
            # Nothing in its body tells one revocation from the next.
            return replace(found, key=f"{found.key}:{delivery.guid}")
        return found

    return read


def parse(
    event: str, body: bytes, app_id: int | None, allow: Iterable[str] = ()
) -> Command | Ignored:
    """What the delivery asks for.

    `allow` names the people, and the owners of repositories, whom the operator lets in; empty: all.
    """
    if event not in _READERS:
        return Ignored(f"nothing follows from the event {event[:64]!r}")
    try:
        payload = json.loads(body)
    except RecursionError:
        return Ignored("the body is nested too deeply")
    except ValueError:
        return Ignored("the body is not JSON")
    try:
        return _READERS[event](payload, app_id, allow)
    except _Unreadable as error:
        return Ignored(f"the body is no {event}: {error}")


def not_let_in(allow: Iterable[str], login: str, repository: str) -> str:
    """A sentence where the operator lets in neither the person nor the repository's owner."""
    owner = repository.partition("/")[0]
    accounts = {account.casefold() for account in allow}
    if not accounts or accounts & {login.casefold(), owner.casefold()}:
        return ""
    return (
        f"This service works only for accounts that its operator named. Neither {login} nor "
        f"{owner} is one of them; please ask whoever runs it."
    )


def _comment(payload: Any, app_id: int | None, allow: Iterable[str]) -> Command | Ignored:
    if not isinstance(payload, dict):
        raise _Unreadable("it is no object")
    action = _text(payload, "action")
    comment, issue = _object(payload, "comment"), _object(payload, "issue")
    number, body = _id(issue, "number"), _text(comment, "body")
    address = comment.get("issue_url")
    if isinstance(address, str) and not address.endswith(f"/issues/{number}"):
        raise _Unreadable("its comment belongs to another issue")
    sender, repository = _object(payload, "sender"), _object(payload, "repository")
    about = About(_id(repository, "id"), number, _id(comment, "id"))
    names_us = about if "/vibecode" in body.lower() else None
    before = _body_before(payload)
    if action != "created" and (action != "edited" or before is None):
        return Ignored(
            f"comments count when they are created, this one was {action[:32]!r}", names_us
        )
    if reason := _automatic(sender, comment, app_id):
        # Ours are many, and on their threads nobody asks what became of a bot's.
        ours = _through(comment) == app_id
        return Ignored(reason, None if ours else names_us and replace(about, issue=0))
    words = slash.parse(body)
    if not words:
        return Ignored("the comment holds no /vibecode command", names_us)
    if not isinstance(payload.get("installation"), dict):
        return Ignored("it did not come through an installation of the App", names_us)
    # An edit keeps the id and the time of creation, so one comment gives its commands once.
    key = f"comment:{_id(comment, 'id')}:{_text(comment, 'created_at')[:40]}"
    said = _Said(
        actor=Actor(_id(sender, "id"), _text(sender, "login")),
        repository=Repository(
            installation_id=_id(_object(payload, "installation"), "id"),
            id=_id(repository, "id"),
            name=_text(repository, "full_name"),
            private=repository.get("private") is not False,
        ),
        issue=Issue(number, _text(issue, "title")),
        comment=Comment(_id(comment, "id"), _text(comment, "html_url")),
        refused=_refused(sender, repository, issue, tuple(allow)),
    )
    if before is not None:
        if slash.parse(before):
            return Ignored("the comment was edited, and had a command before", names_us)
        key = f"edited:{_id(comment, 'id')}:{_text(comment, 'updated_at')[:40]}"
        words = (slash.Unclear("", EDITED),)
    first, *others = words
    if not others:
        return _command(first, key, said)
    parts = [_command(first, key, said)]
    for part, more in enumerate(others, 2):
        comment_part = replace(said, comment=replace(said.comment, part=part))
        parts.append(_command(more, f"{key}#{part}", comment_part))
    return Several(f"{key}#all", said.repository, tuple(parts))


def _installation(payload: Any, app_id: int | None, allow: Iterable[str]) -> Command | Ignored:
    if not isinstance(payload, dict):
        raise _Unreadable("it is no object")
    action, installation = _text(payload, "action"), _object(payload, "installation")
    # Other events name their installation by its id alone: none of them shall pass for this one.
    account = _object(installation, "account")
    if action != "deleted":
        return Ignored(f"nothing follows from an installation that was {action[:32]!r}")
    if app_id is not None and _id(installation, "app_id") != app_id:
        return Ignored("it is another App's installation")
    sender, id = _object(payload, "sender"), _id(installation, "id")
    return Forget(
        f"uninstalled:{id}",
        Actor(_id(sender, "id"), _text(sender, "login")),
        id,
        person_id=_id(account, "id") if account.get("type") == "User" else None,
    )


def _authorization(payload: Any, app_id: int | None, allow: Iterable[str]) -> Command | Ignored:
    if not isinstance(payload, dict):
        raise _Unreadable("it is no object")
    action = _text(payload, "action")
    # Other events have a sender too, and more: none of them shall pass for this one.
    if action != "revoked" or payload.keys() & {"repository", "issue", "check_run"}:
        return Ignored(f"nothing follows from an authorization that was {action[:32]!r}")
    sender = _object(payload, "sender")
    actor = Actor(_id(sender, "id"), _text(sender, "login"))
    return EndSessions(f"revoked:{actor.id}", actor)


_READERS: dict[str, Callable[[Any, int | None, Iterable[str]], Command | Ignored]] = {
    "issue_comment": _comment,
    "installation": _installation,
    "github_app_authorization": _authorization,
}


def _body_before(payload: dict[str, Any]) -> str | None:
    """What an edited comment said before; None where that is not told."""
    changes = payload.get("changes")
    body = changes.get("body") if isinstance(changes, dict) else None
    before = body.get("from") if isinstance(body, dict) else None
    return plain(before) if isinstance(before, str) and payload.get("action") == "edited" else None


def _automatic(sender: dict[str, Any], comment: dict[str, Any], app_id: int | None) -> str:
    """Why the comment was not written by a person acting for themselves, or nothing."""
    # A login that only looks like a bot's proves nothing, so the type alone decides.
    if sender.get("type") == "Bot":
        return "it was written by a bot"
    # What we write with a person's token has that person as sender.
    if app_id is not None and _through(comment) == app_id:
        return "it was written by this App"
    return ""


def _through(comment: dict[str, Any]) -> object:
    """The id of the App that wrote the comment."""
    through = comment.get("performed_via_github_app")
    return through.get("id") if isinstance(through, dict) else None


def _refused(
    sender: dict[str, Any],
    repository: dict[str, Any],
    issue: dict[str, Any],
    allow: tuple[str, ...],
) -> str:
    if problem := not_let_in(allow, _text(sender, "login"), _text(repository, "full_name")):
        return problem
    if isinstance(issue.get("pull_request"), dict):
        return (
            "I can't follow up on pull requests yet. Please comment on an issue instead; "
            "what you want changed can be said there."
        )
    return ""


@dataclass(frozen=True, slots=True)
class _Said:
    """Who said something, and where."""

    actor: Actor
    repository: Repository
    issue: Issue
    comment: Comment
    refused: str  # a sentence, where none of it is followed


def _command(words: slash.Words, key: str, said: _Said) -> Request:
    actor, repository, issue, comment = said.actor, said.repository, said.issue, said.comment
    if said.refused:
        problem = said.refused
        return Explain(key, actor, repository, issue, comment, said=_gist(words), problem=problem)
    match words:
        case slash.Start(text=text, plan_only=plan_only):
            return StartJob(key, actor, repository, text, plan_only, issue=issue, comment=comment)
        case slash.Accept(digest=digest):
            return AcceptPlan(key, actor, repository, digest, issue=issue, comment=comment)
        case slash.Revise(text=text):
            return RevisePlan(key, actor, repository, text, issue=issue, comment=comment)
        case slash.Stop():
            return CancelJob(key, actor, repository, issue=issue, comment=comment)
        case slash.Retry():
            return RetryJob(key, actor, repository, issue=issue, comment=comment)
        case slash.Budget(usd=usd):
            return SetBudget(key, actor, repository, usd, issue=issue, comment=comment)
        case slash.Status():
            return AskStatus(key, actor, repository, issue, comment)
        case slash.Why(target=target):
            return AskWhy(key, actor, repository, issue, comment, target)
        case slash.Help():
            return Explain(key, actor, repository, issue, comment, said="help")
        case slash.Unclear(said=line, problem=problem):
            return Explain(key, actor, repository, issue, comment, said=line, problem=problem)


def _gist(words: slash.Words) -> str:
    match words:
        case slash.Start(text=text) | slash.Revise(text=text):
            return text[:200]
        case slash.Unclear(said=said):
            return said
        case _:
            return type(words).__name__.lower()


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    if not isinstance(value, dict):
        raise _Unreadable(f"{name} is no object")
    return value


def _text(parent: dict[str, Any], name: str) -> str:
    value = parent.get(name)
    if not isinstance(value, str):
        raise _Unreadable(f"{name} is no text")
    return plain(value)


def _id(parent: dict[str, Any], name: str) -> int:
    value = parent.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _BIGGEST_ID:
        raise _Unreadable(f"{name} is no number of GitHub's")
    return value
