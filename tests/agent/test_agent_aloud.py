"""What is told of an answer while it is written."""

import json

from agent_world import Watcher
from hypothesis import given
from hypothesis import strategies as st
from test_agent_model import ask

from agent.aloud import so_far
from agent.model import Model, Purse
from agent.progress import Writing
from vibecoder.local.model.script import Stage, Turn, call, say, think, turns

PLAN = {
    "title": "Fix the “clock”\\",
    "summary": "It is late — by 𝄞.\nVery.",
    "steps": [
        {"id": "a", "title": "Show it", "intent": 'So "that"', "files": ["a.py"]},
        {"id": "b", "title": "Mend it", "intent": "", "done_when": "it rings"},
    ],
    "risks": ["none", "hardly any"],
    "questions": [{"text": "Which?", "options": ["a"], "default": "a"}],
}


async def test_words_are_told_as_they_are_written(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    text = "I'll look at it. " * 40
    stage.play(turns(Turn((think("hm, ü and 𝄞"), say(text), call("look", at="secret")))))
    await ask(model, purse, watcher)
    written = [seen for seen in watcher.seen if isinstance(seen, Writing)]
    assert "".join(piece.text for piece in written) == "hm, ü and 𝄞" + text
    assert sum(piece.begins for piece in written) == 2
    assert len(written) > 2


@given(st.data())
def test_a_plans_prose_only_grows(data: st.DataObject) -> None:
    whole = json.dumps(PLAN, ensure_ascii=data.draw(st.booleans()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    told = ""
    for cut in [*cuts, len(whole)]:
        now = so_far(whole[:cut])
        assert now.startswith(told)
        told = now
    assert told == so_far(whole)


def test_a_plans_prose_is_what_people_read() -> None:
    assert so_far(json.dumps(PLAN)) == (
        "Fix the “clock”\\\n\nIt is late — by 𝄞.\nVery.\n"
        '\n1. Show it\n\n   So "that"\n'
        "\n2. Mend it\n\n   Done when: it rings\n"
        "- Risk: none\n- Risk: hardly any\n- Question: Which?"
    )


@given(st.text(max_size=200))
def test_no_json_breaks_it(text: str) -> None:
    so_far(text)
    so_far('{"title": ' + text)
