"""How the Messages API says no (https://platform.claude.com/docs/en/api/errors)."""

from typing import Any


class ApiError(Exception):
    """A refusal: HTTP status, type and message as the API words them."""

    def __init__(
        self, status: int, type: str, message: str, details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.details = details

    def body(self, request_id: str) -> dict[str, Any]:
        return error_body(self.type, self.message, request_id, self.details)


def error_body(
    type: str, message: str, request_id: str, details: dict[str, Any] | None = None
) -> dict[str, Any]:
    error = {"type": type, "message": message, **({"details": details} if details else {})}
    return {"type": "error", "error": error, "request_id": request_id}


def invalid(message: str, error_code: str | None = None) -> ApiError:
    """400, the request itself is wrong. `error_code` is what newer errors carry in `details`."""
    details = {"error_code": error_code} if error_code else None
    return ApiError(400, "invalid_request_error", message, details)


# What the type of an interrupted turn is, by its status.
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
