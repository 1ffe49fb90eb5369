"""The prompts are short, static, and name only what exists."""

import json
import re
from importlib.resources import files

import pytest

from agent import tools

PROMPTS = {"planner.md": tools.PLANNING, "executor.md": tools.WORKING}


@pytest.mark.parametrize("name", PROMPTS)
def test_system_prompts_are_short_and_have_no_holes(name: str) -> None:
    text = files("agent").joinpath("prompts", name).read_text(encoding="utf-8")
    assert len(text) / 3 < 2500  # tokens, guessed from above
    assert "$" not in text


@pytest.mark.parametrize("name", PROMPTS)
def test_system_prompts_name_no_tool_that_is_missing(name: str) -> None:
    text = files("agent").joinpath("prompts", name).read_text(encoding="utf-8")
    named = set(re.findall(r"\b[a-z]+_[a-z]+\b", text)) - {"run_ids", "out_of_scope", "not_done"}
    assert named <= {tool.name for tool in PROMPTS[name]}


@pytest.mark.parametrize("kinds", PROMPTS.values())
def test_tools_are_defined_the_same_way_every_time(kinds: tuple[type[tools.Input], ...]) -> None:
    first, second = ([tools.definition(kind) for kind in kinds] for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    assert "$ref" not in json.dumps(first)
    for tool in first:
        assert tool["description"]
        assert tool["input_schema"]["type"] == "object"
