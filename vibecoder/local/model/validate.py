"""What the Messages API refuses, beyond the shape of a request.

Sources, all under https://platform.claude.com/docs/en: api/errors, api/messages, agents-and-tools/
tool-use, build-with-claude/{thinking, prompt-caching, structured-outputs, context-editing,
compaction, mid-conversation-system-messages}, and the SDK's error types.
"""

from collections.abc import Mapping
from typing import Any

from vibecoder.local.model import caching, conversation, shape, toolset
from vibecoder.local.model.conversation import Given
from vibecoder.local.model.errors import ApiError, invalid
from vibecoder.local.model.models import MODELS, Model

BETA_FIELDS = {
    "compaction": ("compact-2026-09-04",),
    "context_management": ("context-management-2025-06-27", "compact-2026-01-12"),
    "fallbacks": ("server-side-fallback-2026-07-01", "server-side-fallback-2026-06-01"),
    "fallback_credit_token": ("fallback-credit-2026-07-01", "fallback-credit-2026-06-01"),
    "mcp_servers": ("mcp-client-2026-09-15", "mcp-client-2025-11-20"),
    "thread": ("message-threads-2026-08-12",),
    "output_config.task_budget": ("task-budgets-2026-03-13",),
    "thinking.block_binding": ("thinking-binding-controls-2026-08-01",),
}
Dropped = list[dict[str, str]]  # `input_transformations` entries for thinking that was left out


def check(body: Mapping[str, Any], betas: frozenset[str], given: Given) -> tuple[Model, Dropped]:
    """The model to answer with, and the thinking that it will not see.

    Raises ApiError.
    """
    model = _model(body)
    shape.check_create(body, bool(betas))
    _betas(body, betas)
    _limits(body, model)
    _settings(body, model)
    toolset.check(body)
    conversation.check(body, model, betas, given.paused)
    caching.check(body)
    return model, conversation.check_thinking(body, model, given)


def check_count(body: Mapping[str, Any], betas: frozenset[str], given: Given) -> None:
    """The same for POST /v1/messages/count_tokens, which generates nothing. Raises ApiError."""
    model = _model(body)
    shape.check_count_tokens(body, bool(betas))
    _betas(body, betas)
    toolset.check(body)
    conversation.check(body, model, betas, given.paused)
    caching.check(body)


def _model(body: Mapping[str, Any]) -> Model:
    name = body.get("model")
    if "model" not in body:
        raise invalid("model: Field required")
    if not isinstance(name, str):
        raise invalid("model: Input should be a valid string")
    if name not in MODELS:
        raise ApiError(404, "not_found_error", f"model: {name}")
    return MODELS[name]


def _betas(body: Mapping[str, Any], betas: frozenset[str]) -> None:
    for path, headers in BETA_FIELDS.items():
        first, _, second = path.partition(".")
        holder = body.get(first) or {}
        there = second in holder if second else first in body
        if there and not betas.intersection(headers):
            raise invalid(f"{path}: Extra inputs are not permitted")
    thinking = body.get("thinking") or {}
    display = thinking.get("display")
    if display == "updates" and "thinking-display-updates-2026-08-18" not in betas:
        raise invalid("thinking.display: Input should be 'summarized' or 'omitted'")
    if body.get("compaction") is not None and body.get("context_management") is not None:
        raise invalid("compaction: cannot be used together with `context_management`")
    if body.get("thread") is not None:
        # With these details, tool runners of the SDKs go on without a thread.
        details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
        words = "thread: message threads are not available on this server"
        raise ApiError(400, "invalid_request_error", words, details)
    budget = (body.get("output_config") or {}).get("task_budget")
    if budget is not None and budget["total"] < 20_000:
        raise invalid("output_config.task_budget.total: Input should be at least 20000")
    _context_edits(body.get("context_management") or {}, betas)


def _context_edits(context: Mapping[str, Any], betas: frozenset[str]) -> None:
    for place, edit in enumerate(context.get("edits", ())):
        path = f"context_management.edits.{place}"
        if edit["type"] == "clear_thinking_20251015" and place > 0:
            raise invalid(f"{path}: clear_thinking_20251015 must be the first edit")
        if edit["type"] == "compact_20260112":
            if "compact-2026-01-12" not in betas:
                raise invalid(f"{path}: Extra inputs are not permitted")
            trigger = edit.get("trigger")
            if trigger is not None and trigger["value"] < 50_000:
                raise invalid(f"{path}.trigger.value: Input should be at least 50000")


def _limits(body: Mapping[str, Any], model: Model) -> None:
    maximum = body["max_tokens"]
    if maximum < 0:
        raise invalid("max_tokens: Input should be greater than or equal to 0")
    if maximum > model.max_tokens:
        raise invalid(
            f"max_tokens: {maximum} > {model.max_tokens}, which is the maximum allowed number of "
            f"output tokens for {model.id}"
        )
    if maximum > 0:
        return
    if (body.get("thinking") or {}).get("type") == "enabled":
        raise invalid("max_tokens: 0 cannot be used with `thinking.type` 'enabled'")
    if (body.get("output_config") or {}).get("format") is not None:
        raise invalid("max_tokens: 0 cannot be used with `output_config.format`")
    if _forced(body):
        raise invalid("max_tokens: 0 cannot be used when `tool_choice` forces tool use")


def _forced(body: Mapping[str, Any]) -> bool:
    return (body.get("tool_choice") or {}).get("type") in ("any", "tool")


def _settings(body: Mapping[str, Any], model: Model) -> None:
    """Thinking, effort and forced tools, by what the model allows."""
    effort = (body.get("output_config") or {}).get("effort")
    if effort is not None and effort not in model.efforts:
        raise invalid(f"output_config.effort: '{effort}' is not supported by {model.id}")
    if _forced(body) and not model.forced_tools:
        raise invalid(f"tool_choice: forced tool use is not supported by {model.id}")
    config = body.get("thinking")
    if config is None:
        return
    kind = config["type"]
    if kind not in model.thinking:
        raise invalid(f"thinking.type: '{kind}' is not supported by {model.id}")
    if kind != "enabled":
        return
    if config["budget_tokens"] < 1024:
        raise invalid("thinking.enabled.budget_tokens: Input should be at least 1024")
    if config["budget_tokens"] >= body["max_tokens"]:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`")
    if _forced(body):
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")
