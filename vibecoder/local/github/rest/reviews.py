"""Reviews of pull requests, and who is asked for one."""

from vibecoder.local.github import pulls
from vibecoder.local.github.problems import Invalid, NotFound
from vibecoder.local.github.records import Issue, Pull, Review
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.shapes import accounts
from vibecoder.local.github.shapes import pulls as shapes
from vibecoder.local.github.shapes.site import Json

READ = "pull_requests:read"
WRITE = "pull_requests:write"
PULL = "/repos/{owner}/{repo}/pulls/{number}"


def _find(call: Call) -> tuple[Issue, Pull]:
    return pulls.find(call.repo, call.number("number"))


def _review(call: Call) -> tuple[Issue, Review]:
    issue, pull = _find(call)
    found = pull.reviews.get(call.number("id"))
    if found is None:
        raise NotFound
    return issue, found


@route("GET", PULL + "/reviews", needs=READ)
def list_reviews(call: Call) -> Answer:
    issue, pull = _find(call)
    found = list(pull.reviews.values())
    return call.page(found, lambda it: shapes.review(call.site, call.repo, issue, it))


@route("POST", PULL + "/reviews", needs=WRITE, role="read")
def create_review(call: Call) -> Json:
    """Submitted at once: this world keeps no pending reviews. Comments go to the diff first."""
    issue, pull = _find(call)
    event, body = call.text("event") or "COMMENT", call.text("body") or ""
    comments = call.strings("comments")
    if event != "APPROVE" and not body.strip() and not comments:
        raise Invalid("Review body can't be blank")
    if not all(isinstance(it, dict) and isinstance(it.get("path"), str) for it in comments):
        raise Invalid.field("PullRequestReview", "comments", "invalid")
    for it in comments:
        line = it.get("line", it.get("position"))
        pulls.review_comment(
            call.world,
            call.repo,
            call.actor,
            issue,
            body=it.get("body"),
            path=it["path"],
            commit_id=call.text("commit_id") or pull.head_sha,
            line=line if isinstance(line, int) else None,
            side=str(it.get("side") or "RIGHT"),
        )
    made = pulls.review(call.world, call.repo, call.actor, issue, event=event, body=body)
    return shapes.review(call.site, call.repo, issue, made)


@route("GET", PULL + "/reviews/{id}", needs=READ)
def get_review(call: Call) -> Json:
    return shapes.review(call.site, call.repo, *_review(call))


@route("PUT", PULL + "/reviews/{id}/dismissals", needs=WRITE)
def dismiss(call: Call) -> Json:
    issue, review = _review(call)
    call.required("message")
    if review.state == "COMMENTED":
        raise Invalid("Can not dismiss a commented pull request review")
    review.state = "DISMISSED"
    return shapes.review(call.site, call.repo, issue, review)


@route("GET", PULL + "/requested_reviewers", needs=READ)
def requested_reviewers(call: Call) -> Json:
    _, pull = _find(call)
    return {"users": [accounts.account(call.site, who) for who in pull.reviewers], "teams": []}


@route("POST", PULL + "/requested_reviewers", needs=WRITE)
def request_reviewers(call: Call) -> Answer:
    issue, _ = _find(call)
    pulls.ask(call.world, call.repo, call.actor, issue, call.strings("reviewers"))
    return Answer(shapes.simple_pull(call.site, call.repo, issue), 201)


@route("DELETE", PULL + "/requested_reviewers", needs=WRITE)
def withdraw_request(call: Call) -> Json:
    issue, pull = _find(call)
    gone = {str(login).lower() for login in call.strings("reviewers")}
    pull.reviewers = [who for who in pull.reviewers if who.login.lower() not in gone]
    return shapes.simple_pull(call.site, call.repo, issue)
