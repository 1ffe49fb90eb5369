"""The models that the API knows, and what each allows.

From the SDK's list of models and the documentation of August 2026. Where a page could not be read,
the stricter of two readings is taken, so that what passes here should pass there.
"""

from dataclasses import dataclass
from typing import Any

EFFORTS = ("low", "medium", "high", "xhigh", "max")


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    name: str
    line: str
    created_at: str
    thinking: frozenset[str]  # accepted values of thinking.type
    efforts: tuple[str, ...] = EFFORTS
    forced_tools: bool = True  # tool_choice "any" and "tool" are accepted
    prefill: bool = False  # the conversation may end with an assistant message
    bound: bool = True  # thinking blocks are bound to the conversation before them
    system_messages: bool = True  # messages of role "system" are accepted
    max_tokens: int = 128_000
    max_input_tokens: int = 1_000_000

    @property
    def thinks_unasked(self) -> bool:
        """Thinking that cannot be turned off is on when nothing is said about it."""
        return "disabled" not in self.thinking

    def info(self) -> dict[str, Any]:
        """As `GET /v1/models/{id}` gives it."""

        def supported(yes: bool) -> dict[str, bool]:
            return {"supported": yes}

        kinds = ("adaptive", "between_tools", "disabled", "enabled")
        return {
            "type": "model",
            "id": self.id,
            "display_name": self.name,
            "created_at": self.created_at,
            "deprecated_at": None,
            "retires_at": None,
            "lifecycle": "active",
            "line": self.line,
            "max_input_tokens": self.max_input_tokens,
            "max_tokens": self.max_tokens,
            "capabilities": {
                **{
                    name: supported(True)
                    for name in ("batch", "citations", "code_execution", "image_input", "pdf_input")
                },
                "structured_outputs": supported(True),
                "context_management": supported(True),
                "server_tools": {
                    **supported(False),
                    "code_execution": supported(False),
                    "web_search": supported(False),
                },
                "effort": {
                    **supported(bool(self.efforts)),
                    **{effort: supported(effort in self.efforts) for effort in EFFORTS},
                },
                "thinking": {
                    **supported(True),
                    "types": {kind: supported(kind in self.thinking) for kind in kinds},
                },
            },
        }


def _newest(line: str, version: str, created_at: str, **differences: Any) -> Model:
    dashed = version.replace(".", "-")
    return Model(
        id=f"claude-{line}-{dashed}",
        name=f"Claude {line.capitalize()} {version}",
        line=line,
        created_at=created_at,
        **{"thinking": frozenset({"adaptive", "between_tools"}), **differences},
    )


_ADAPTIVE = frozenset({"adaptive"})
_SWITCHED = frozenset({"adaptive", "disabled"})
_BUDGETED = frozenset({"enabled", "disabled"})
_EITHER = _SWITCHED | _BUDGETED
_OLDER: dict[str, Any] = {"bound": False, "system_messages": False}

MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        _newest("opus", "5.5", "2026-10-21T00:00:00Z", forced_tools=False),
        _newest("sonnet", "5.5", "2026-10-07T00:00:00Z", forced_tools=False),
        _newest("haiku", "5.5", "2026-10-07T00:00:00Z", thinking=_SWITCHED | {"between_tools"}),
        _newest("fable", "5.2", "2026-10-21T00:00:00Z", thinking=_ADAPTIVE, forced_tools=False),
        _newest("fable", "5.1", "2026-09-01T00:00:00Z", thinking=_ADAPTIVE, forced_tools=False),
        _newest("opus", "5", "2026-06-01T00:00:00Z", thinking=_SWITCHED, bound=False),
        _newest("sonnet", "5", "2026-06-01T00:00:00Z", thinking=_SWITCHED, bound=False),
        _newest("opus", "4.8", "2026-04-01T00:00:00Z", thinking=_SWITCHED, bound=False),
        _newest(
            "opus",
            "4.6",
            "2026-02-01T00:00:00Z",
            thinking=_EITHER,
            efforts=("low", "medium", "high", "max"),
            **_OLDER,
        ),
        _newest(
            "sonnet",
            "4.6",
            "2026-02-01T00:00:00Z",
            thinking=_EITHER,
            efforts=("low", "medium", "high", "max"),
            **_OLDER,
        ),
        _newest(
            "haiku",
            "4.5",
            "2025-10-01T00:00:00Z",
            thinking=_BUDGETED,
            efforts=(),
            prefill=True,
            max_tokens=64_000,
            max_input_tokens=200_000,
            **_OLDER,
        ),
    )
}
