"""Deliveries as GitHub sends them, as it might, and as nobody ever should."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webhook_front import APP_ID, commented

from jobs.commands import (
    COMMAND,
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
    RetryJob,
    RevisePlan,
    SetBudget,
    Several,
    StartJob,
    about,
)
from jobs.queue.store import Delivery
from webhook.deliveries import parse, reader

MAYA = Actor(42, "maya")
WIDGET = Repository(installation_id=99, id=77, name="maya/widget", private=False)
ISSUE = Issue(7, "Retries are flaky")
COMMENT = Comment(1001, "https://github.example/maya/widget/issues/7#issuecomment-1001")
KEY = "comment:1001:2026-11-20T10:00:00Z"


def read(payload: Any, event: str = "issue_comment", allow: tuple[str, ...] = ()) -> Any:
    return parse(event, json.dumps(payload).encode(), APP_ID, allow)


def why_ignored(payload: Any, event: str = "issue_comment") -> str:
    found = read(payload, event)
    assert isinstance(found, Ignored), found
    return found.reason


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "/vibecode fix it now",
            StartJob(KEY, MAYA, WIDGET, "fix it now", False, issue=ISSUE, comment=COMMENT),
        ),
        (
            "/vibecode plan a fix",
            StartJob(KEY, MAYA, WIDGET, "a fix", True, issue=ISSUE, comment=COMMENT),
        ),
        (
            "/vibecode accept 1a2b3c4d",
            AcceptPlan(KEY, MAYA, WIDGET, "1a2b3c4d", issue=ISSUE, comment=COMMENT),
        ),
        ("/vibecode stop", CancelJob(KEY, MAYA, WIDGET, issue=ISSUE, comment=COMMENT)),
        ("/vibecode retry", RetryJob(KEY, MAYA, WIDGET, issue=ISSUE, comment=COMMENT)),
        ("/vibecode why", AskWhy(KEY, MAYA, WIDGET, ISSUE, COMMENT, "")),
        ("/vibecode status", AskStatus(KEY, MAYA, WIDGET, ISSUE, COMMENT)),
        (
            "/vibecode budget 2.50",
            SetBudget(KEY, MAYA, WIDGET, Decimal("2.50"), issue=ISSUE, comment=COMMENT),
        ),
        (
            "/vibecode revise in French",
            RevisePlan(KEY, MAYA, WIDGET, "in French", issue=ISSUE, comment=COMMENT),
        ),
        ("/vibecode", Explain(KEY, MAYA, WIDGET, ISSUE, COMMENT, said="help")),
    ],
)
def test_a_comment_is_a_command_of_its_sender(body: str, expected: Command) -> None:
    assert read(commented(body)) == expected


def test_several_commands_keep_their_order_and_have_keys_of_their_own() -> None:
    found = read(commented("/vibecode stop\n\n/vibecode budget 2\n"))
    second = replace(COMMENT, part=2)
    assert found == Several(
        f"{KEY}#all",
        WIDGET,
        (
            CancelJob(KEY, MAYA, WIDGET, issue=ISSUE, comment=COMMENT),
            SetBudget(f"{KEY}#2", MAYA, WIDGET, Decimal(2), issue=ISSUE, comment=second),
        ),
    )
    assert COMMAND.validate_json(COMMAND.dump_json(found)) == found


def test_a_slip_is_explained() -> None:
    found = read(commented("/vibecode acept"))
    assert isinstance(found, Explain)
    assert (found.said, found.key) == ("acept", KEY)
    assert "Did you mean" in found.problem


def test_closed_issues_may_be_worked_on() -> None:
    assert isinstance(read(commented(issue={"state": "closed"})), StartJob)


def test_pull_requests_are_not_followed_up_yet() -> None:
    found = read(commented(issue={"pull_request": {"url": "https://x"}}))
    assert isinstance(found, Explain)
    assert "pull requests yet" in found.problem
    assert "no /vibecode" in why_ignored(commented("LGTM", issue={"pull_request": {}}))


@pytest.mark.parametrize("action", ["edited", "deleted", "pinned"])
def test_only_new_comments_count(action: str) -> None:
    assert action in why_ignored(commented(action=action))


def edited(now: str, before: str) -> Any:
    return commented(now, action="edited", changes={"body": {"from": before}})


def test_a_command_that_was_edited_in_is_told_so() -> None:
    found = read(edited("/vibecode fix it now", "fix it now"))
    assert isinstance(found, Explain)
    assert "new comment" in found.problem
    assert found.key == "edited:1001:2026-11-20T10:00:00Z"
    assert "had a command before" in why_ignored(edited("/vibecode stop", "/vibecode stpo"))
    assert "no /vibecode" in why_ignored(edited("never mind", "/vibecode stop"))


def test_what_names_us_is_found_again() -> None:
    where = About(77, 7, 1001)
    for payload in (
        commented("> /vibecode go"),
        commented("/vibecode go", action="deleted"),
        commented("/vibecode go", installation=None),
    ):
        assert read(payload).about == where
    assert about(read(commented("/vibecode stop\n\n/vibecode status"))) == where
    assert read(commented("LGTM")).about is None
    assert read(commented(sender={"type": "Bot"})).about == replace(where, issue=0)
    ours = {"performed_via_github_app": {"id": APP_ID}}
    assert read(commented(sender={"type": "Bot"}, comment=ours)).about is None


def test_bots_are_not_obeyed() -> None:
    assert "bot" in why_ignored(commented(sender={"type": "Bot", "login": "renovate[bot]"}))


def test_a_person_may_be_named_like_a_bot() -> None:
    assert isinstance(read(commented(sender={"login": "robot"})), StartJob)


def test_we_do_not_talk_to_ourselves() -> None:
    ours = commented(comment={"performed_via_github_app": {"id": APP_ID}})
    assert "this App" in why_ignored(ours)
    other = commented(comment={"performed_via_github_app": {"id": APP_ID + 1}})
    assert isinstance(read(other), StartJob)


def test_a_body_under_another_events_name() -> None:
    assert "nothing follows" in why_ignored(commented(), "discussion_comment")
    review = commented()
    review["pull_request"] = review.pop("issue")
    assert "issue is no object" in why_ignored(review)
    moved = commented(comment={"issue_url": "https://api.github.example/repos/m/w/issues/70"})
    assert "another issue" in why_ignored(moved)


def test_a_hook_of_the_repository_is_not_the_apps() -> None:
    assert "installation" in why_ignored(commented(installation=None))


def test_the_operator_names_who_is_let_in() -> None:
    for allow in (("MAYA",), ("other", "maya")):
        assert isinstance(read(commented(), allow=allow), StartJob)
    acme = {"id": 77, "full_name": "acme/widget", "private": True}
    assert isinstance(read(commented(repository=acme), allow=("maya",)), StartJob)
    assert isinstance(read(commented(repository=acme), allow=("acme",)), StartJob)
    found = read(commented(repository=acme), allow=("other",))
    assert isinstance(found, Explain)
    assert "operator" in found.problem
    assert "no /vibecode" in read(commented("hi", repository=acme), allow=("other",)).reason


REVOKED = {"action": "revoked", "sender": {"id": 42, "login": "maya", "type": "User"}}


def test_taking_the_app_back_ends_the_persons_sessions() -> None:
    def revoked(guid: str) -> Command | str:
        body = json.dumps(REVOKED).encode()
        return reader(APP_ID, ())(Delivery(guid, "github_app_authorization", body, 0.0))

    first, second = revoked("g1"), revoked("g2")
    assert isinstance(first, EndSessions) and isinstance(second, EndSessions)
    assert first.actor == MAYA
    # Whoever comes back and leaves again is let go again.
    assert first.key != second.key == "revoked:42:g2"
    assert COMMAND.validate_json(COMMAND.dump_json(first)) == first
    other = REVOKED | {"repository": {"id": 77}}
    assert "nothing follows" in why_ignored(other, "github_app_authorization")


@pytest.mark.parametrize(("kind", "person"), [("User", 42), ("Organization", None)])
def test_uninstalling_from_ones_own_account_names_the_person(kind: str, person: int | None) -> None:
    account = {"id": 42, "login": "maya", "type": kind}
    gone = {
        "action": "deleted",
        "installation": {"id": 99, "app_id": APP_ID, "account": account},
        "sender": account | {"type": "User"},
    }
    found = read(gone, "installation")
    assert isinstance(found, Forget)
    assert (found.installation_id, found.person_id) == (99, person)


def test_control_characters_are_left_out() -> None:
    found = read(commented("/vibecode fix\x00 it\x1b[31m\x08 now\r\n\tplease\x7f"))
    assert found.text == "fix it[31m now\n\tplease"


def test_half_a_surrogate_pair_reaches_no_encoder() -> None:
    found = read(commented("/vibecode fix \ud83d please", sender={"login": "ma\udc00ya"}))
    assert isinstance(found, StartJob)
    COMMAND.dump_json(found)
    assert found.text == "fix ? please"


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe\x00", b"[" * 200_000, b"1" * 5_000, b'"\\ud800"', b"NaN", b"null"]
)
def test_not_quite_json(body: bytes) -> None:
    assert isinstance(parse("issue_comment", body, APP_ID), Ignored)


def test_the_sweeps_reader_says_the_same() -> None:
    body = json.dumps(commented("/vibecode fix it now")).encode()
    assert reader(APP_ID, ())(Delivery("g", "issue_comment", body, 0.0)) == read(
        commented("/vibecode fix it now")
    )
    assert "ping" in str(reader(APP_ID, ())(Delivery("g", "ping", b"{}", 0.0)))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["created", "/vibecode fix it", "/vibecode", "Bot"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(event=st.sampled_from(["issue_comment", "issues", ""]) | st.text(), payload=JSON)
def test_any_json_is_answered(event: str, payload: Any) -> None:
    found = read(payload, event)
    assert isinstance(found, Ignored)
    assert found.reason


def paths(value: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [at] if at else []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += paths(inner, (*at, key))
    return found


@given(path=st.sampled_from(paths(commented())), value=JSON)
def test_any_field_may_be_anything(path: tuple[str, ...], value: Any) -> None:
    payload = commented()
    parent = payload
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    found = read(payload)
    if not isinstance(found, Ignored):
        COMMAND.validate_json(COMMAND.dump_json(found))  # the store can keep it
        assert found.repository.id > 0 < found.actor.id
