"""From bytes to checked requests, and from answers to bytes."""

from http import HTTPStatus
from typing import TypeVar
from uuid import uuid4

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from webhook.problems import Malformed, NotFound, Problem, TooLarge, Unprocessable

BIGGEST_BODY = 256 * 1024  # bytes
M = TypeVar("M", bound=BaseModel)


async def body(request: Request, model: type[M]) -> M:
    """What was sent, checked. Raises TooLarge, Malformed, Unprocessable."""
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > BIGGEST_BODY:
            raise TooLarge(f"A request may have at most {BIGGEST_BODY // 1024} KB.")
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise _invalid(error) from None


def valid(kind: TypeAdapter[str], value: str, name: str) -> str:
    """A part of the address, checked. Raises NotFound."""
    try:
        return kind.validate_python(value)
    except ValidationError:
        raise NotFound(f"{value[:100]!r} is no {name}.") from None


def key(request: Request, actor_id: int, what: str) -> str:
    """The command's key: a person's own, so that nobody meets another's. Raises Malformed."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return f"api:{actor_id}:{what}:{uuid4()}"
    if not 0 < len(given) <= 255 or not given.isascii() or not given.isprintable():
        raise Malformed("Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return f"api:{actor_id}:{what}:{given}"


def told(model: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return json(model.model_dump_json(), status)


def json(text: str | bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    # It is one person's view, and true only now.
    headers = {"Cache-Control": "no-store"}
    return Response(text, status, headers, media_type="application/json")


def _invalid(error: ValidationError) -> Problem:
    """The first complaint as a sentence, all of them as members; never what was sent."""
    complaints = [
        {"member": ".".join(map(str, entry["loc"])), "problem": entry["msg"]}
        for entry in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    if any(entry["type"] == "json_invalid" for entry in error.errors(include_input=False)):
        return Malformed("The body is not JSON.")
    where = complaints[0]["member"] or "the body"
    return Unprocessable(f"{where}: {complaints[0]['problem']}.", more={"errors": complaints})
