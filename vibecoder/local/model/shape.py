"""Checks a request against the TypedDicts of the anthropic SDK, key by key, at any depth.

The SDK's types are the published shape of the API (`anthropic.types.message_create_params`). The
API forbids keys it does not know, which the SDK itself does not check.
"""

from collections.abc import Iterable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pydantic
import typing_extensions
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_tokens_params
from anthropic.types.beta import message_create_params as beta_create_params

from vibecoder.local.model.errors import invalid

IN_HEADERS = {"betas", "user_profile_id", "workspace_id"}  # parameters that are not in the body


def check_create(body: object, beta: bool) -> None:
    """Raises ApiError unless `body` has the shape of POST /v1/messages."""
    module = beta_create_params if beta else message_create_params
    _dictionary(body, module.MessageCreateParamsBase, "", {"stream": bool})


def check_count_tokens(body: object, beta: bool) -> None:
    """Raises ApiError unless `body` has the shape of POST /v1/messages/count_tokens."""
    if beta:
        _dictionary(body, beta_count_tokens_params.MessageCountTokensParams, "", {})
    else:
        _dictionary(body, message_count_tokens_params.MessageCountTokensParams, "", {})


def _check(value: object, hint: Any, path: str) -> None:
    origin = get_origin(hint)
    if origin is typing_extensions.Annotated:
        _check(value, get_args(hint)[0], path)
    elif hint is Any or hint is object:
        return
    elif origin in (Union, UnionType):
        _union(value, get_args(hint), path)
    elif origin is Literal:
        if value not in get_args(hint) or isinstance(value, bool):
            choices = " or ".join(f"'{choice}'" for choice in get_args(hint))
            raise invalid(f"{path}: Input should be {choices}")
    elif typing_extensions.is_typeddict(hint):
        _dictionary(value, hint, path, {})
    elif origin is dict or hint is dict:
        if not isinstance(value, dict):
            raise invalid(f"{path}: Input should be a valid dictionary")
    elif origin is not None and issubclass(origin, Iterable):
        if not isinstance(value, list):
            raise invalid(f"{path}: Input should be a valid list")
        for place, item in enumerate(value):
            _check(item, get_args(hint)[0], f"{path}.{place}")
    elif not _is_plain(value, hint):
        name = {str: "string", int: "integer", float: "number", bool: "boolean"}.get(hint, "value")
        raise invalid(f"{path}: Input should be a valid {name}")


def _is_plain(value: object, hint: Any) -> bool:
    if hint is NoneType:
        return value is None
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _union(value: object, options: tuple[Any, ...], path: str) -> None:
    if value is None and NoneType in options:
        return
    flat, shapes = _members(options)
    if isinstance(value, dict) and shapes:
        _check(value, _chosen(value, shapes, path), f"{path}{_tag(value, shapes)}")
        return
    others = [option for option in flat if option not in shapes and _fits(value, option)]
    if others:
        _check(value, others[0], path)
        return
    if shapes and len(shapes) == len(flat):
        raise invalid(f"{path}: Input should be an object")
    names = " or ".join(dict.fromkeys(_name(option) for option in flat))
    raise invalid(f"{path}: Input should be a valid {names}")


@cache
def _members(options: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """A union's members without None, and those of them that are TypedDicts."""
    flat = tuple(option for option in _flatten(options) if option is not NoneType)
    return flat, tuple(option for option in flat if typing_extensions.is_typeddict(option))


def _flatten(options: Iterable[Any]) -> Iterable[Any]:
    for option in options:
        if get_origin(option) in (Union, UnionType):
            yield from _flatten(get_args(option))
        elif get_origin(option) is typing_extensions.Annotated:
            yield from _flatten([get_args(option)[0]])
        # Response models stand in the unions so that answers can be sent back; each has its Param.
        elif not (isinstance(option, type) and issubclass(option, pydantic.BaseModel)):
            yield option


def _fits(value: object, option: Any) -> bool:
    origin = get_origin(option)
    if origin is Literal:
        return isinstance(value, type(get_args(option)[0]))
    if origin is dict:
        return isinstance(value, dict)
    if origin is not None:
        return isinstance(value, list)
    return _is_plain(value, option)


def _name(option: Any) -> str:
    if option in (str, int, float, bool):
        return {str: "string", int: "integer", float: "number", bool: "boolean"}[option]
    return "list" if get_origin(option) not in (None, dict, Literal) else "value"


def _chosen(value: dict[str, Any], shapes: tuple[Any, ...], path: str) -> Any:
    """The member of a union that the value's `type` or `role` names."""
    if len(shapes) == 1:
        return shapes[0]
    for key in ("role", "type"):
        tags = {shape: _literals(shape, key) for shape in shapes}
        if not any(tags.values()):
            continue
        if key not in value:
            # "custom" is the one `type` that may be left out.
            untyped = [shape for shape in shapes if "custom" in tags[shape] or not tags[shape]]
            if untyped:
                return untyped[0]
            raise invalid(f"{path}.{key}: Field required")
        fitting = [shape for shape in shapes if value[key] in tags[shape]]
        if value[key] is None and any("custom" in tags[shape] for shape in shapes):
            fitting = [shape for shape in shapes if "custom" in tags[shape]]
        if not fitting:
            known = ", ".join(f"'{tag}'" for shape in shapes for tag in tags[shape])
            raise invalid(
                f"{path}: Input tag '{value[key]}' found using '{key}' does not match any of the "
                f"expected tags: {known}"
            )
        return fitting[0]
    return shapes[0]


def _tag(value: dict[str, Any], shapes: tuple[Any, ...]) -> str:
    if len(shapes) < 2 or any(_literals(shape, "role") for shape in shapes):
        return ""
    return f".{value.get('type') or 'custom'}"


@cache
def _literals(shape: Any, key: str) -> tuple[str, ...]:
    hint, _ = _fields(shape).get(key, (None, False))
    found = [option for option in _flatten([hint]) if get_origin(option) is Literal]
    return tuple(choice for option in found for choice in get_args(option))


@cache
def _fields(shape: Any) -> dict[str, tuple[Any, bool]]:
    """The keys of a TypedDict: their types, and whether they must be there."""
    found: dict[str, tuple[Any, bool]] = {}
    for name, hint in get_type_hints(shape, include_extras=True).items():
        # __required_keys__ is wrong for annotations kept as strings, which the SDK's are.
        required = get_origin(hint) is typing_extensions.Required or (
            shape.__total__ and get_origin(hint) is not typing_extensions.NotRequired
        )
        bare = get_origin(hint) in (typing_extensions.Required, typing_extensions.NotRequired)
        found[name] = (get_args(hint)[0] if bare else hint, required)
    return found


def _dictionary(value: object, shape: Any, path: str, more: dict[str, Any]) -> None:
    if not isinstance(value, dict):
        raise invalid(f"{path or 'body'}: Input should be an object")
    fields = {**_fields(shape), **{name: (hint, False) for name, hint in more.items()}}
    if not path:
        fields = {name: field for name, field in fields.items() if name not in IN_HEADERS}
    dot = f"{path}." if path else ""
    for name, (_, required) in fields.items():
        if required and name not in value:
            raise invalid(f"{dot}{name}: Field required")
    open_ended = getattr(shape, "__pydantic_config__", {}).get("extra") == "allow"
    for name, item in value.items():
        if name in fields:
            _check(item, fields[name][0], f"{dot}{name}")
        elif not open_ended:
            raise invalid(f"{dot}{name}: Extra inputs are not permitted")
