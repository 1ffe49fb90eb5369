"""Hostile words stay words. The judge is a Markdown parser that nobody here wrote."""

import re

import pytest
from forge_judge import JUDGE, REFERENCE, assert_inert, judged, walk
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.forge import encode

PIECES = [
    "@octocat", "@property", "fixes #12", "Closes: owner/repo#3", "GH-7",
    "https://github.com/a/b/issues/1", "www.example.com", "<b>", "</details>",
    "<!-- vibecoder:job:1 -->", "<img src=x>", "-->", "![i](http://x/y.png)", "[a](http://x)",
    "[a]: http://x", "[a][a]", "<http://x>", "```", "````", "~~~", "`", "``", "/lgtm",
    "/ok-to-test", "@dependabot merge", "\n", "\n\n", "\r\n", "    ", "\t", "> ", "- ", "* ",
    "1. ", "1) ", "# ", "===", "---", "***", "|", "|---|---|", "\\", "&lt;", "&#64;octocat", "*",
    "**", "_", "~~", "$", "$$", "\u202e", "\u200b", "\u2066", "\x00", "\x1b[31m", "\ud800",
    "\u2028", "word", " ", "é", "😀", "x" * 50, "a@b.c", "^", "[^1]", ":tada:", "=", "+",
    "[skip ci]", "[ci skip]", "[Skip Actions]",
]  # fmt: skip
hostile = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=25).map("".join)


@given(hostile)
@example("- a\n\n- b\n* c\n1. d\n\n   ```\n   x")
@example("*@octocat*")
def test_prose_is_inert(text: str) -> None:
    assert_inert(encode.prose(text, 2_000))


@given(hostile)
def test_what_follows_prose_is_not_swallowed(text: str) -> None:
    tokens = judged(f"{encode.prose(text, 2_000)}\n\n## Ours\n\nend")
    assert [t.content for t in tokens if t.type == "inline"][-2:] == ["Ours", "end"]
    assert [t.level for t in tokens if t.type == "heading_open"][-1] == 0
    assert sum(t.type == "heading_open" for t in tokens) == 1


@given(hostile)
def test_a_line_is_one_inert_paragraph(text: str) -> None:
    paragraph = ["paragraph_open", "inline", "paragraph_close"]
    for markdown in (encode.inline(text, 500), encode.sentence(text, 500)):
        assert_inert(markdown)
        assert "\n" not in markdown
        if markdown.strip():
            assert [t.type for t in JUDGE.parse(f"word {markdown}")] == paragraph
            assert [t.type for t in JUDGE.parse(markdown)] == paragraph


@given(hostile)
def test_inline_shows_what_was_said(text: str) -> None:
    said = encode.one_line(text, 500)
    if encode._URL.search(said):
        return
    (inline,) = (t for t in JUDGE.parse("x " + encode.inline(text, 500)) if t.type == "inline")
    seen = "".join(child.content for child in inline.children or [])
    assert seen.replace("\u200b", "") == f"x {said}".rstrip()


@given(hostile)
def test_code_is_one_span(text: str) -> None:
    markdown = encode.code(text, 500)
    (inline,) = (t for t in JUDGE.parse(f"a {markdown} b") if t.type == "inline")
    kinds = [child.type for child in inline.children or []]
    assert kinds in (["text", "code_inline", "text"], ["text"])
    assert_inert(markdown)


@given(hostile, st.booleans())
def test_a_fence_holds(text: str, tail: bool) -> None:
    markdown = encode.fence(text, 300, "text", tail=tail)
    tokens = JUDGE.parse(f"{markdown}\n\nafter")
    assert [t.type for t in tokens] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert_inert(markdown)


@given(hostile)
def test_a_cell_stays_in_its_row(text: str) -> None:
    row = f"| {encode.cell_code(text, 200)} | {encode.inline(text, 200)} | end |"
    tokens = JUDGE.parse(f"| a | b | c |\n|---|---|---|\n{row}\n")
    cells = [t for t in walk(tokens) if t.type == "td_open"]
    assert len(cells) == 3
    html = [t.content for t in walk(tokens) if t.type.startswith("html")]
    assert html == ["<code>", "</code>"]


@given(hostile)
def test_a_title_and_a_commit_name_nobody(text: str) -> None:
    for words in (encode.plain(text, 72), encode.plain_lines(text, 500)):
        assert not re.search(r"@[A-Za-z0-9]", words)
        assert not REFERENCE.search(words)
        assert "://" not in words or not re.search(r"(?i)\bhttps?://", words)
        assert not re.search(r"(?i)\[(?:skip ci|ci skip|no ci|skip actions|actions skip)\]", words)
    assert len(encode.plain(text, 72)) <= 72
    assert "\n" not in encode.plain(text, 72)


@given(hostile, st.integers(2, 60))
def test_cuts_stay_within(text: str, limit: int) -> None:
    assert len(encode.cut(text, limit)) <= limit
    assert len(encode.cut_head(text, limit)) <= limit


@pytest.mark.parametrize(
    "secret",
    [
        "ghs_123456_" + "eyJhbGci.eyJpc3Mi-_x.c2lnbmF0dXJl" * 4,
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1B2" * 15,
        "sk-ant-api03-" + "x" * 40,
        "AKIA" + "ABCD1234" * 2,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIB\nabc\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_known_secrets_do_not_leave(secret: str) -> None:
    for markdown in (
        encode.fence(f"token={secret}\n", 2_000),
        encode.prose(f"It is {secret}", 2_000),
        encode.plain(secret, 2_000),
    ):
        assert secret[12:40] not in markdown
        assert "secret removed" in markdown


def test_terminal_codes_and_tricks_are_gone() -> None:
    assert (
        encode.clean("\x1b[1;31mFAILED\x1b[0m a\u202eb\u200bc\x00\r\nd\x1b]0;t\x07e")
        == "FAILED abc\nde"
    )


def test_harmless_shapes_are_kept() -> None:
    said = (
        "## Why\n\nThe *timestamp* is **naive**:\n\n"
        "- in `now()`\n- and here:\n\n  ```py\n  x = 1\n  ```"
    )
    assert encode.prose(said, 2_000) == (
        "**Why**\n\nThe *timestamp* is **naive**:\n\n"
        "- in `now()`\n- and here:\n\n  ```py\n  x = 1\n  ```"
    )


def test_names_with_underscores_stay_names() -> None:
    shown = encode.sentence("Call `__init__` and __init__ in a_b_c, *now*", 200)
    assert shown == "Call `__init__` and \\_\\_init\\_\\_ in a\\_b\\_c, *now*"
