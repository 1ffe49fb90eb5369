"""The grammar of `/vibecode`, sentence by sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.slash import LONGEST, Accept, Help, Start, Stop, Unclear, parse


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        ("/vibecode fix the flaky retry", Start("fix the flaky retry", plan_only=False)),
        ("  /VibeCode   fix the flaky retry  ", Start("fix the flaky retry", plan_only=False)),
        ("/vibecode: fix the retry", Start("fix the retry", plan_only=False)),
        ("/vibecode fix retries", Start("fix retries", plan_only=False)),
        ("Hello!\r\n\r\n/vibecode fix it\r\nplease", Start("fix it\nplease", plan_only=False)),
        ("/vibecode\nfix the retry", Start("fix the retry", plan_only=False)),
        ("/vibecode plan fix the retry", Start("fix the retry", plan_only=True)),
        ("/vibecode Plan: fix\nthe retry", Start("fix\nthe retry", plan_only=True)),
        ("/vibecode plan\nfix the retry", Start("fix the retry", plan_only=True)),
        ("/vibecode accept", Accept("")),
        ("/vibecode accept the plan, please", Accept("")),
        ("/vibecode accept 1A2B3C4D", Accept("1a2b3c4d")),
        ("/vibecode accept `1a2b3c4d`", Accept("1a2b3c4d")),
        ("/vibecode accept\n\nLooks good to me.", Accept("")),
        ("/vibecode stop", Stop()),
        ("/vibecode stop it, please!", Stop()),
        ("/vibecode\nstop", Stop()),
        ("/vibecode", Help()),
        ("/vibecode help", Help()),
        ("/VIBECODE  HELP \n", Help()),
    ],
)
def test_understood(comment: str, expected: object) -> None:
    assert parse(comment) == expected


@pytest.mark.parametrize(
    "wish",
    [
        "stop the memory leak in the cache",
        "accept null values in the parser",
        "help users find the settings page",
        "planet names are sorted wrongly",
        "accept both spellings of colour",
    ],
)
def test_a_wish_may_begin_with_a_verb(wish: str) -> None:
    assert parse(f"/vibecode {wish}") == Start(wish, plan_only=False)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("acept", "accept"),
        ("accpet 1a2b3c4d", "accept"),
        ("stpo", "stop"),
        ("hlep", "help"),
        ("pln", "plan"),
        ("approve", "accept"),
        ("cancel", "stop"),
        ("accept nulls", "accept"),
        ("stop flicker", "stop"),
    ],
)
def test_a_slip_starts_nothing(line: str, meant: str) -> None:
    answer = parse(f"/vibecode {line}")
    assert isinstance(answer, Unclear)
    assert answer.said == line
    assert f"Did you mean `/vibecode {meant}`?" in answer.problem


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "nothing for a robot",
        "try writing /vibecode fix it",
        "/vibecoder fix it",
        "/vibecode-bot fix it",
        "> /vibecode fix it",
        "> quoted\n/vibecode lazily continues the quote",
        ">> /vibecode fix it",
        "- > /vibecode fix it",
        "```\n/vibecode fix it\n```",
        "~~~sh\n/vibecode fix it\n~~~",
        "```\n/vibecode in a fence that nobody closed",
        "    /vibecode fix it",
        "\t/vibecode fix it",
        "`/vibecode fix it`",
        "a span `over\n/vibecode two` lines",
        "``a span with ` inside\n/vibecode fix it``",
        "<!-- /vibecode fix it -->",
        "<!--\n\n/vibecode hidden from whoever reads it\n\n-->",
        "seen <!-- unseen\n/vibecode fix it\n-->",
        "- /vibecode fix it",
        "# /vibecode fix it",
        "<details>\n/vibecode fix it\n</details>",
    ],
)
def test_not_said_to_us(comment: str) -> None:
    assert parse(comment) is None


def test_code_belongs_to_the_wish() -> None:
    wish = "fix this:\n\n```\nTypeError\n/vibecode stop\n```\n\nThanks!"
    assert parse(f"/vibecode {wish}") == Start(wish, plan_only=False)


def test_of_several_commands_the_first_is_followed() -> None:
    assert parse("/vibecode fix the retry\nsoon\n\n/vibecode stop\n") == Start(
        "fix the retry\nsoon", plan_only=False
    )
    assert parse("> /vibecode stop\n\n/vibecode accept") == Accept("")


def test_plan_wants_words() -> None:
    answer = parse("/vibecode plan")
    assert isinstance(answer, Unclear)
    assert "Tell me what to plan" in answer.problem


def test_a_document_is_too_long() -> None:
    answer = parse("/vibecode " + "a wish " * 30_000)
    assert isinstance(answer, Unclear)
    assert "characters" in answer.problem
    assert len(answer.said) <= 200
    assert parse("/vibecode " + "x" * LONGEST) == Start("x" * LONGEST, plan_only=False)


WORDS = ["/vibecode", "/VIBECODE ", "accept ", "stop", "plan ", "help", "fix it", "1a2b3c4d"]
MARKS = ["\n", "\r\n", "\n\n", "> ", "`", "```", "~~~", "<!--", "-->", "    ", "\t", "- "]
ODDITIES = ["\x00", "\u2028", "\x0c"]
PIECES = st.sampled_from([*WORDS, *MARKS, *ODDITIES])


@given(st.lists(PIECES | st.text(max_size=8), max_size=40).map("".join))
def test_anything_can_be_read(comment: str) -> None:
    match parse(comment):
        case None:
            return
        case Start(text=text):
            assert text.strip() == text != ""
            assert len(text) <= LONGEST
        case Accept(digest=digest):
            assert set(digest) <= set("0123456789abcdef")
        case Unclear(problem=problem):
            assert problem
        case found:
            assert found in (Help(), Stop())
    assert "/vibecode" in comment.lower()


@given(st.lists(PIECES | st.text(max_size=8), max_size=20).map("".join))
def test_quoting_never_commands(comment: str) -> None:
    lines = comment.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert parse("\n".join(f"> {line}" for line in lines)) is None
