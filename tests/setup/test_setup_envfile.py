"""Env files: what is written is read back, and nothing else changes."""

import io

import pytest
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from hypothesis import example, given
from hypothesis import strategies as st

from vibecoder import envfile

NAMES = st.sampled_from(["GITHUB_APP_ID", "PORT", "A"])
VALUES = st.text().filter(envfile.can_hold)


def read(text: str) -> dict[str, str | None]:
    return dotenv_values(stream=io.StringIO(text))


@given(text=st.text(), values=st.dictionaries(NAMES, VALUES, min_size=1))
@example(text="'", values={"A": "{"})
def test_written_values_are_read_back_whatever_was_there(text: str, values: dict[str, str]) -> None:
    try:
        written = envfile.with_values(text, values)
    except ValueError:
        assert any(binding.error for binding in parse_stream(io.StringIO(text)))
        return
    found = read(written)
    for name, value in values.items():
        assert (found.get(name) or "") == value


LINES = st.lists(
    st.sampled_from(
        ["# note", "", "B=1", "export C='x y'", 'D="a\nb"', "A=old", "a=old", "E", "  F = 2  # c"]
    )
)


@given(lines=LINES, end=st.sampled_from(["", "\n"]), value=VALUES)
def test_other_lines_stay_as_they_are(lines: list[str], end: str, value: str) -> None:
    text = "\n".join(lines) + end

    def others(text: str) -> list[str]:
        return [
            binding.original.string.strip("\n")
            for binding in parse_stream(io.StringIO(text))
            if (binding.key or "").upper() != "A" and binding.original.string.strip()
        ]

    written = envfile.with_values(text, {"A": value})
    assert others(written) == others(text)
    assert envfile.with_values(written, {"A": value}) == written


@pytest.mark.parametrize("value", ["a\nb", "it's", 'a"b', "a\\nb", "a$b", "a\0b"])
def test_values_that_readers_disagree_about_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        envfile.with_values("", {"A": value})


@pytest.mark.parametrize(("text", "line"), [("'", 1), ("A=1\n\nB='open\n", 3), ("=1", 1)])
def test_a_line_that_cannot_be_read_is_named(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=f"line {line} "):
        envfile.with_values(text, {"A": "1"})


def test_names_that_have_values() -> None:
    assert envfile.names_set("A=1\nb=2\nC=\nD\n# E=1\nF=''\n") == {"A", "B"}
