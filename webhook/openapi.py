"""The OpenAPI 3.1 document, made from the models that check and build the traffic."""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from webhook.shapes import ProblemShown

VERSION = "1"  # of what is promised here; the program has its own


@dataclass(frozen=True)
class Operation:
    """One thing that can be called: where, what it takes, what it answers."""

    method: str
    path: str  # as starlette writes it: "/api/x/{name}" or "{name:path}"
    endpoint: Callable[[Request], Awaitable[Response]]
    summary: str
    tells: TypeAdapter[Any] | None  # None: an empty answer, 204
    asks: type[BaseModel] | None = None
    media: str = "application/json"  # a stream's schema is that of each event's data
    also: tuple[HTTPStatus, ...] = ()  # statuses of success besides 200
    query: tuple[str, ...] = ()  # names of optional text parameters
    open: bool = False  # also to whoever is not signed in

    @property
    def route(self) -> Route:
        return Route(self.path, self.endpoint, methods=[self.method])


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document, as JSON-ready data."""
    operations = tuple(operations)
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        ("problem", "serialization", TypeAdapter(ProblemShown))
    ]
    for operation in operations:
        name = operation.endpoint.__name__
        if operation.tells is not None:
            inputs.append((f"{name} tells", "serialization", operation.tells))
        if operation.asks is not None:
            inputs.append((f"{name} asks", "validation", TypeAdapter(operation.asks)))
    refs, definitions = TypeAdapter.json_schemas(
        inputs, ref_template="#/components/schemas/{model}"
    )
    found = {key: schema for (key, _), schema in refs.items()}
    paths: dict[str, Any] = {}
    for operation in operations:
        path = re.sub(r":path\}", "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation, path, found)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cloud Vibecoder",
            "version": VERSION,
            "description": "What the phone asks of the service.",
        },
        "security": [{"bearer": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A session's token, or a GitHub user token issued to this App.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-vibecoder",
                    "description": "A browser's session; writes then need an `Origin` of ours. "
                    "Over http its name has no prefix.",
                },
            },
        },
    }


def _described(operation: Operation, path: str, found: dict[str, Any]) -> dict[str, Any]:
    name = operation.endpoint.__name__
    problem = {"application/problem+json": {"schema": found["problem"]}}
    described: dict[str, Any] = {
        "operationId": name,
        "summary": operation.summary,
        "parameters": [
            {"name": param, "in": "path", "required": True, "schema": {"type": "string"}}
            for param in re.findall(r"\{(\w+)\}", path)
        ]
        + [
            {"name": param, "in": "query", "required": False, "schema": {"type": "string"}}
            for param in operation.query
        ],
        "responses": _answers(operation, found.get(f"{name} tells"))
        | {"default": {"description": "Why not.", "content": problem}},
    }
    if operation.open:
        described["security"] = []
    elif operation.method == "POST":
        described["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "schema": {"type": "string", "maxLength": 255},
            }
        )
    if operation.asks is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": found[f"{name} asks"]}},
        }
    return described


def _answers(operation: Operation, schema: dict[str, Any] | None) -> dict[str, Any]:
    if schema is None:
        status = HTTPStatus.NO_CONTENT
        return {str(status.value): {"description": status.phrase}}
    content = {operation.media: {"schema": schema}}
    return {
        str(status.value): {"description": status.phrase, "content": content}
        for status in (HTTPStatus.OK, *operation.also)
    }
