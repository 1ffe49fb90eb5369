"""What the Messages API refuses in `tools` and `tool_choice`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from vibecoder.local.model.errors import invalid

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MAX_STRICT = 20
MAX_OPTIONAL = 24  # optional properties in all strict tools together
# Keywords of JSON Schema that strict tools may not use.
UNSUPPORTED = ("minimum", "maximum", "multipleOf", "minLength", "maxLength", "maxItems")


def check(body: Mapping[str, Any]) -> None:
    """Raises ApiError."""
    tools = body.get("tools", [])
    names = [tool["name"] for tool in tools if "name" in tool]
    for place, tool in enumerate(tools):
        if tool.get("type") in (None, "custom"):
            _custom(tool, f"tools.{place}.custom")
    if len(set(names)) != len(names):
        raise invalid("tools: Tool names must be unique.")
    if tools and all(tool.get("defer_loading") for tool in tools):
        raise invalid("tools: At least one tool must have defer_loading=false.")
    strict = [tool for tool in tools if tool.get("strict")]
    if len(strict) > MAX_STRICT:
        raise invalid(f"tools: At most {MAX_STRICT} tools may be strict. Found {len(strict)}.")
    optional = sum(_optional(schema) for tool in strict for schema in _objects(tool))
    if optional > MAX_OPTIONAL:
        raise invalid(
            f"tools: Strict tools may have at most {MAX_OPTIONAL} optional parameters in total. "
            f"Found {optional}."
        )
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not tools and choice["type"] != "none":
        raise invalid("tool_choice: tool_choice may only be specified while providing tools.")
    if choice["type"] == "tool" and choice["name"] not in names:
        raise invalid(f"tool_choice.name: Tool '{choice['name']}' not found in provided tools")


def _custom(tool: Mapping[str, Any], path: str) -> None:
    if not NAME.fullmatch(tool["name"]):
        raise invalid(f"{path}.name: String should match pattern '^{NAME.pattern}$'")
    schema = tool["input_schema"]
    if "type" not in schema:
        raise invalid(f"{path}.input_schema.type: Field required")
    if schema["type"] != "object":
        raise invalid(f"{path}.input_schema.type: Input should be 'object'")
    for place, example in enumerate(tool.get("input_examples", ())):
        missing = [name for name in schema.get("required") or () if name not in example]
        unknown = schema.get("additionalProperties") is False and [
            name for name in example if name not in (schema.get("properties") or {})
        ]
        if missing or unknown:
            raise invalid(f"{path}.input_examples.{place}: does not match `input_schema`")
    if not tool.get("strict"):
        return
    for inner in _objects(tool):
        if inner.get("additionalProperties") is not False:
            raise invalid(
                f"{path}.input_schema: For 'object' type, 'additionalProperties' must be "
                "explicitly set to false"
            )
    for inner in _schemas(schema):
        for keyword in UNSUPPORTED:
            if keyword in inner:
                raise invalid(f"{path}.input_schema: property '{keyword}' is not supported")
        if re.search(r"\(\?[=!<]", str(inner.get("pattern", ""))):
            raise invalid(f"{path}.input_schema: lookaround in 'pattern' is not supported")


def _objects(tool: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = _schemas(tool.get("input_schema", {}))
    return [schema for schema in found if schema.get("type") == "object"]


def _optional(schema: Mapping[str, Any]) -> int:
    return len(set(schema.get("properties") or {}) - set(schema.get("required") or ()))


def _schemas(schema: object) -> Iterator[Mapping[str, Any]]:
    """A JSON Schema and all within it, property names not mistaken for keywords."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for key, value in schema.items():
        if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            for inner in value.values():
                yield from _schemas(inner)
        elif key in ("items", "additionalProperties", "not"):
            yield from _schemas(value)
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            for inner in value:
                yield from _schemas(inner)
