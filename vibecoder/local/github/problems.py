"""The answers with which GitHub refuses. Each carries the status and the body's message.

Problem
├── Malformed      400  the body is not JSON, or not an object
├── Unauthorized   401  the credential is missing, wrong or expired
├── Forbidden      403  the credential is good and may not do this
├── NotFound       404  it does not exist, or the credential may not see it
├── NotMergeable   405  a pull request that cannot be merged
├── Conflict       409  the state of the repository is in the way
└── Invalid        422  the values are not acceptable; `errors` says which

Source of the shapes: docs.github.com, "Troubleshooting the REST API" and each endpoint's page.
"""

from typing import Any


class Problem(Exception):
    """Base of all: an HTTP status and GitHub's words."""

    status = 500
    message = "Server Error"

    def __init__(
        self,
        message: str = "",
        *,
        errors: list[Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message or self.message)
        self.message = message or self.message
        self.errors = errors
        self.headers = headers or {}


class Malformed(Problem):
    """The body is not JSON, or not an object."""

    status = 400
    message = "Problems parsing JSON"


class Unauthorized(Problem):
    """The credential is missing, wrong or expired."""

    status = 401
    message = "Bad credentials"


class Forbidden(Problem):
    """The credential is good and may not do this."""

    status = 403
    message = "Resource not accessible by integration"


class NotFound(Problem):
    """It does not exist, or the credential may not see it."""

    status = 404
    message = "Not Found"


class NotMergeable(Problem):
    """A pull request that cannot be merged."""

    status = 405
    message = "Pull Request is not mergeable"


class Conflict(Problem):
    """The state of the repository is in the way."""

    status = 409
    message = "Conflict"


class Invalid(Problem):
    """The values are not acceptable."""

    status = 422
    message = "Validation Failed"

    @classmethod
    def field(cls, resource: str, field: str, code: str, message: str = "") -> "Invalid":
        """GitHub's `errors[]` entry; code is missing_field, invalid, already_exists or custom."""
        entry = {"resource": resource, "code": code, "field": field}
        if message:
            entry["message"] = message
        return cls(errors=[entry])

    @classmethod
    def because(cls, resource: str, message: str) -> "Invalid":
        """An entry that is a sentence rather than a field."""
        return cls(errors=[{"resource": resource, "code": "custom", "message": message}])
