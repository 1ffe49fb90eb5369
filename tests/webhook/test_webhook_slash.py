"""The grammar of `/vibecode`, sentence by sentence."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.slash import (
    LONGEST,
    MOST,
    Accept,
    Budget,
    Help,
    Retry,
    Revise,
    Start,
    Status,
    Stop,
    Unclear,
    Why,
    Words,
    parse,
)


def one(comment: str) -> Words:
    """The only command in there."""
    (found,) = parse(comment)
    return found


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
        ("/vibecode revise in French, please", Revise("in French, please")),
        ("/vibecode Revise: in\nFrench", Revise("in\nFrench")),
        ("/vibecode retry", Retry()),
        ("/vibecode Retry it, please!", Retry()),
        ("/vibecode retry the job", Retry()),
        ("/vibecode status", Status()),
        ("/vibecode status?", Status()),
        ("/vibecode status of the job", Status()),
        ("/vibecode why?", Why("")),
        (
            "/vibecode why 0a1b2c3d-0000-4000-8000-123456789ABC",
            Why("0a1b2c3d-0000-4000-8000-123456789ABC"),
        ),
        (
            "/vibecode why <https://x.example/a/b/issues/7#issuecomment-1>.",
            Why("https://x.example/a/b/issues/7#issuecomment-1"),
        ),
        ("/vibecode budget 5", Budget(Decimal(5))),
        ("/vibecode Budget: $7.50", Budget(Decimal("7.50"))),
        ("/vibecode budget 10 dollars", Budget(Decimal(10))),
        ("/vibecode budget to 10 USD now", Budget(Decimal(10))),
        ('/vibecode "fix the flaky retry"', Start("fix the flaky retry", plan_only=False)),
        ("/vibecode “Stop”", Stop()),
        ("/vibecode `accept 1a2b3c4d`", Accept("1a2b3c4d")),
        ("/vibecode 'plan \"fix it\"'", Start("fix it", plan_only=True)),
        ("/vibecode\n```\nplan fix the retry\n```", Start("fix the retry", plan_only=True)),
        ("/vibecode ```stop```", Stop()),
        ("/vibecode", Help()),
        ('/vibecode ""', Help()),
        ("/vibecode help", Help()),
        ("/VIBECODE  HELP \n", Help()),
    ],
)
def test_understood(comment: str, expected: object) -> None:
    assert parse(comment) == (expected,)


@pytest.mark.parametrize(
    "wish",
    [
        "retry failed uploads with a pause",
        "status page shows the wrong time",
        "budget totals are rounded wrongly",
        "budget 5 categories at most",
        "why does the parser fail on tabs",
        'say "hello" and "goodbye"',
        "fix the stpo button",
        "stop the memory leak in the cache",
        "accept null values in the parser",
        "help users find the settings page",
        "planet names are sorted wrongly",
        "accept both spellings of colour",
    ],
)
def test_a_wish_may_begin_with_a_verb(wish: str) -> None:
    assert one(f"/vibecode {wish}") == Start(wish, plan_only=False)


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
        ("retyr", "retry"),
        ("try again", "retry"),
        ("statsu", "status"),
        ("progress?", "status"),
        ("budgte 5", "budget"),
        ("revsie", "revise"),
        ("retry uploads", "retry"),
    ],
)
def test_a_slip_starts_nothing(line: str, meant: str) -> None:
    answer = one(f"/vibecode {line}")
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
    assert parse(comment) == ()


def test_code_belongs_to_the_wish() -> None:
    wish = "fix this:\n\n```\nTypeError\n/vibecode stop\n```\n\nThanks!"
    assert one(f"/vibecode {wish}") == Start(wish, plan_only=False)


def test_several_commands_are_followed_in_their_order() -> None:
    assert parse("/vibecode stop\n\n/vibecode fix the retry\nsoon\n/vibecode budget 2\n") == (
        Stop(),
        Start("fix the retry\nsoon", plan_only=False),
        Budget(Decimal(2)),
    )
    assert parse("> /vibecode stop\n\n/vibecode accept") == (Accept(""),)


def test_too_many_commands_are_told() -> None:
    *followed, last = parse("/vibecode status\n" * (MOST + 3))
    assert followed == [Status()] * MOST
    assert isinstance(last, Unclear) and "left out" in last.problem


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("plan", "Tell me what to plan"),
        ("revise", "Tell me what to change"),
        ("budget", "how much"),
        ("budget 0", "stop"),
    ],
)
def test_some_commands_want_words(line: str, words: str) -> None:
    answer = one(f"/vibecode {line}")
    assert isinstance(answer, Unclear)
    assert words in answer.problem


@pytest.mark.parametrize("verb", ["", "plan ", "revise "])
def test_a_document_is_too_long(verb: str) -> None:
    answer = one(f"/vibecode {verb}" + "a wish " * 30_000)
    assert isinstance(answer, Unclear)
    assert "characters" in answer.problem
    assert len(answer.said) <= 200
    assert one("/vibecode " + "x" * LONGEST) == Start("x" * LONGEST, plan_only=False)


WORDS = ["/vibecode", "/VIBECODE ", "accept ", "stop", "plan ", "help", "fix it", "1a2b3c4d"]
WORDS += ["why", "revise ", "retry", "status", "budget ", "5", "$2.50"]
MARKS = ["\n", "\r\n", "\n\n", "> ", "`", "```", "~~~", "<!--", "-->", "    ", "\t", "- ", '"', "“"]
ODDITIES = ["\x00", "\u2028", "\x0c"]
PIECES = st.sampled_from([*WORDS, *MARKS, *ODDITIES])


@given(st.lists(PIECES | st.text(max_size=8), max_size=40).map("".join))
def test_anything_can_be_read(comment: str) -> None:
    commands = parse(comment)
    assert len(commands) <= MOST + 1
    for command in commands:
        match command:
            case Start(text=text) | Revise(text=text):
                assert text.strip() == text != ""
                assert len(text) <= LONGEST
            case Accept(digest=digest):
                assert set(digest) <= set("0123456789abcdef")
            case Budget(usd=usd):
                assert 0 < usd < 1_000_000
            case Why(target=target):
                assert target == ""
            case Unclear(problem=problem):
                assert problem
            case found:
                assert found in (Help(), Stop(), Retry(), Status())
        assert "/vibecode" in comment.lower()


@given(st.lists(PIECES | st.text(max_size=8), max_size=20).map("".join))
def test_quoting_never_commands(comment: str) -> None:
    lines = comment.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert parse("\n".join(f"> {line}" for line in lines)) == ()


@given(st.sampled_from(["accept", "stop", "retry", "status", "help"]), st.data())
def test_case_and_wrapping_change_nothing(verb: str, data: st.DataObject) -> None:
    spelt = "".join(data.draw(st.sampled_from([letter, letter.upper()])) for letter in verb)
    wrap = data.draw(st.sampled_from(["{}", '"{}"', "'{}'", "`{}`", "“{}”", "```\n{}\n```", "{}!"]))
    assert parse(f"/vibecode {wrap.format(spelt)}") == parse(f"/vibecode {verb}")


@given(
    st.lists(st.sampled_from(["fix", "the", "flaky", "status", "retry", "of", "it"]), min_size=3)
)
def test_a_wish_that_begins_with_no_verb_stays_a_wish(words: list[str]) -> None:
    wish = " ".join(["make", *words])
    assert one(f"/vibecode {wish}") == Start(wish, plan_only=False)
