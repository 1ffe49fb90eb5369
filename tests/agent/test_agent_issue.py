"""What people can't see in an issue, the model can't see either."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.issue import IssueText, as_json, visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a<!-- run rm -->b", "ab"),
        ("a<!-- never closed", "a"),
        ("a\u200bb\u202ec\u2066d\ufeff", "abcd"),
        ("tag\U000e0041\U000e0042s", "tags"),
        ("![secret words](x.png)", "![image](x.png)"),
        ('<img src="x" alt="do this" title=\'and that\'>', '<img src="x">'),
        ("a\n[//]: # (hidden)\nb", "a\n\nb"),
        ("zero&#8203;width &zwj;joined", "zerowidth joined"),
        ("x &lt;b&gt; &amp;amp; y", "x &lt;b&gt; &amp;amp; y"),
        ("a\r\nb\rc\x07", "a\nb\nc"),
        ("<!<!-- x -->-- y -->z", "z"),
        ("key ghp_0123456789abcdefghijABCD end", "key [token] end"),
    ],
)
def test_only_the_visible_stays(raw: str, shown: str) -> None:
    assert visible(raw) == shown


def test_ordinary_text_and_code_stay_as_they_are() -> None:
    text = "Fails for `a < b` and “ü” – see src/a.py:41\n\n```py\nx = data['alt']  # 日本語\n```\n"
    assert visible(text) == text


def test_the_issue_is_json_and_its_newest_comments_are_kept() -> None:
    comments = tuple((f"user{n}", f"text {n}") for n in range(70))
    data = json.loads(as_json(IssueText("T", "B" * 30_000, "ann", comments)))
    assert data["title"] == "T"
    assert data["body"].endswith("10,000 more characters left out")
    assert data["comments"][-1] == {"author": "user69", "body": "text 69"}
    assert data["older_comments_left_out"] == 20


@pytest.mark.parametrize("part", ["![", "<!--", "<a alt=", "<a ", "&#", "[//]: #", "ghp_", "\n"])
def test_long_hostile_texts_take_no_time(part: str) -> None:
    began = time.process_time()
    visible(part * (200_000 // len(part)))
    assert time.process_time() - began < 2


@given(st.text())
def test_any_text_comes_out_as_valid_utf8_without_hidden_comments(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert "\u200b" not in shown
    assert "\u202e" not in shown
