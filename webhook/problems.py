"""What the front door refuses, and how it says so: `application/problem+json` (RFC 9457).

Problem
├── Malformed        400  the request cannot be understood
├── NotSignedIn      401  no token, or one that GitHub does not know as ours
│   ├── TokenRefused      GitHub took the person's token before, and does so no more
│   └── GrantRefused      GitHub does not take a sign-in's code, or what renews a token
├── NotAllowed       403  known, but may not do this
├── NotFound         404  not there, or not for these eyes: the two are not told apart
├── Conflict         409  it does not fit the state of the job
├── TooLarge         413  more bytes than we take
├── Unprocessable    422  well formed, but something it names does not hold
├── GitHubFailed     502  GitHub answered something that we can't use
└── Unavailable      503  Redis or GitHub can't be reached now; try again

`str(problem)` is the sentence a person reads. It never holds a token or a body that was sent.
"""

import json
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response


class Problem(Exception):
    """Base of all. `more` is added to the answer's members, `headers` to its headers."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(
        self, detail: str, *, more: dict[str, object] | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.more = more or {}
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


class Malformed(Problem):
    """The request cannot be understood."""

    status = HTTPStatus.BAD_REQUEST


class NotSignedIn(Problem):
    """There is no token, or GitHub does not know it as one of this App's."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.headers = {"WWW-Authenticate": "Bearer"}


class TokenRefused(NotSignedIn):
    """GitHub answered 401 to a person's token."""


class GrantRefused(NotSignedIn):
    """GitHub does not, or no longer, take the code of a sign-in, or a refresh token."""


class NotAllowed(Problem):
    """The person is known and may not do this."""

    status = HTTPStatus.FORBIDDEN


class NotFound(Problem):
    """It is not there, or this person may not know that it is."""

    status = HTTPStatus.NOT_FOUND


class Conflict(Problem):
    """It does not fit the state that the job is in."""

    status = HTTPStatus.CONFLICT


class TooLarge(Problem):
    """More bytes than are taken."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Unprocessable(Problem):
    """Well formed, but something that it names does not hold."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class GitHubFailed(Problem):
    """GitHub answered something that can't be used."""

    status = HTTPStatus.BAD_GATEWAY


class Unavailable(Problem):
    """Redis or GitHub can't be reached right now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


async def answer(request: Request, error: Exception) -> Response:
    """Starlette's handler for Problem."""
    assert isinstance(error, Problem)  # noqa: S101  # registered for nothing else
    return _problem(error.status, str(error), error.headers, error.more)


async def answer_http(request: Request, error: Exception) -> Response:
    """Starlette's handler for what its router refuses: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for nothing else
    words = {404: "There is nothing at this address.", 405: "That method is not for this address."}
    detail = words.get(error.status_code, error.detail)
    return _problem(HTTPStatus(error.status_code), detail, dict(error.headers or {}), {})


async def answer_bug(request: Request, error: Exception) -> Response:
    """Starlette's last resort, for a defect of ours; the traceback is in the log."""
    sentence = "Something broke on our side. It was logged; please try again."
    return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, sentence, {}, {})


def _problem(
    status: HTTPStatus, detail: str, headers: dict[str, str], more: dict[str, object]
) -> Response:
    body = {"type": "about:blank", "title": status.phrase, "status": status.value} | more
    return Response(
        json.dumps(body | {"detail": detail}),
        status.value,
        headers | {"Cache-Control": "no-store"},
        media_type="application/problem+json",
    )
