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

from webhook.shapes import ProblemShown

VERSION = "1"  # of what is promised here; the program has its own


@dataclass(frozen=True)
class Operation:
    """One thing that can be called: where, what it takes, what it answers."""

    method: str
    path: str  # as starlette writes it: "/api/x/{name}" or "{name:path}"
    endpoint: Callable[[Request], Awaitable[Response]]
    summary: str
    tells: TypeAdapter[Any]
    asks: type[BaseModel] | None = None
    media: str = "application/json"  # a stream's schema is that of each event's data
    also: tuple[HTTPStatus, ...] = ()  # statuses of success besides 200
    query: tuple[str, ...] = ()  # names of optional text parameters


def document(operations: Iterable[Operation]) -> dict[str, Any]:
    """The whole document, as JSON-ready data."""
    operations = tuple(operations)
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        ("problem", "serialization", TypeAdapter(ProblemShown))
    ]
    for operation in operations:
        name = operation.endpoint.__name__
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
        "security": [{"github": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "github": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A GitHub user token issued to this App.",
                }
            },
        },
    }


def _described(operation: Operation, path: str, found: dict[str, Any]) -> dict[str, Any]:
    name = operation.endpoint.__name__
    answer = {operation.media: {"schema": found[f"{name} tells"]}}
    problem = {"application/problem+json": {"schema": found["problem"]}}
    statuses = (HTTPStatus.OK, *operation.also)
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
        "responses": {
            str(status.value): {"description": status.phrase, "content": answer}
            for status in statuses
        }
        | {"default": {"description": "Why not.", "content": problem}},
    }
    if operation.method == "POST":
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
