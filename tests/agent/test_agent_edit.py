"""The ladder of edits: exact where possible, certain otherwise, never a guess."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.edit import EditRefused, replace

CODE = """\
def load(path):
    with open(path) as file:
        return file.read()


def save(path, text):
    with open(path, "w") as file:
        file.write(text)
"""


def test_an_exact_passage_is_replaced() -> None:
    edited = replace(CODE, "return file.read()", "return file.read().strip()")
    assert "return file.read().strip()\n" in edited.text
    assert edited.lines == (3,)
    assert edited.note == ""


def test_a_passage_found_twice_is_refused_with_its_lines() -> None:
    with pytest.raises(EditRefused, match="found 4 times, at lines 1, 2, 6, 7"):
        replace(CODE, "(path", "(place")


def test_every_place_is_replaced_when_that_is_asked() -> None:
    edited = replace(CODE, "(path", "(place", every=True)
    assert edited.text.count("(place") == 4
    assert edited.lines == (1, 2, 6, 7)


def test_crlf_files_keep_their_line_endings() -> None:
    text = CODE.replace("\n", "\r\n")
    edited = replace(text, "        return file.read()\n\n", "        x = 1\n        return x\n\n")
    assert edited.text == text.replace(
        "        return file.read()\r\n", "        x = 1\r\n        return x\r\n"
    )


def test_one_line_in_a_crlf_file_becomes_two_crlf_lines() -> None:
    edited = replace("a = 1\r\nb = 2\r\n", "b = 2", "b = 2\nc = 3")
    assert edited.text == "a = 1\r\nb = 2\r\nc = 3\r\n"


def test_trailing_whitespace_is_forgiven() -> None:
    edited = replace(
        "def f():  \n    return 1\t\n", "def f():\n    return 1\n", "def f():\n    return 2\n"
    )
    assert edited.text == "def f():\n    return 2\n"
    assert "whitespace" in edited.note


def test_a_uniform_shift_of_the_indentation_is_adapted() -> None:
    edited = replace(
        CODE,
        "with open(path) as file:\n    return file.read()",
        "with open(path) as file:\n    data = file.read()\n    return data",
    )
    assert (
        "    with open(path) as file:\n        data = file.read()\n        return data\n"
        in edited.text
    )
    assert "indentation" in edited.note


def test_an_uneven_indentation_is_not_guessed() -> None:
    text = "if a:\n    b()\n        c()\n"
    with pytest.raises(EditRefused):
        replace(text, "if a:\n  b()\n  c()\n", "if a:\n    b()\n")


def test_typographic_quotes_are_taken_as_plain_ones() -> None:
    edited = replace("print('a')\nprint(“b”)\n", ['print("b")', "print()"][0], 'print("c")')
    assert edited.text == "print('a')\nprint(\"c\")\n"


def test_pasted_line_numbers_are_taken_off() -> None:
    edited = replace(
        CODE, "     2\t    with open(path) as file:\n     3\t        return", "     2\tx\n     3\ty"
    )
    assert "x\ny file.read()" in edited.text


def test_what_only_resembles_the_passage_is_shown_not_changed() -> None:
    with pytest.raises(EditRefused, match=r"closest passage is at lines 7 to 8 .*alike") as refused:
        replace(
            CODE,
            '    with open(path, "wb") as handle:\n        handle.write(text)\n',
            "    pass\n",
        )
    assert "file.write(text)" in str(refused.value)


def test_a_close_passage_is_found_quickly_in_a_long_file() -> None:
    lines = [f"    def method_{n}(self, other): return compute({n}, other)" for n in range(20_000)]
    near = "\n".join(line.replace("compute", "computed") for line in lines[15_000:15_020])
    began = time.process_time()
    with pytest.raises(EditRefused, match="lines 15001 to 15020"):
        replace("\n".join(lines), near, "pass")
    assert time.process_time() - began < 3


def test_an_edit_made_already_is_recognised() -> None:
    with pytest.raises(EditRefused, match="already done"):
        replace(CODE, "def store(path, text):", "def save(path, text):")


@pytest.mark.parametrize(("old", "new"), [("", "x"), ("load", "load")])
def test_edits_without_effect_are_refused(old: str, new: str) -> None:
    with pytest.raises(EditRefused):
        replace(CODE, old, new)


LINES = st.lists(st.text("ab \t\"'“”\r", max_size=6), min_size=1, max_size=12).map("\n".join)


@given(LINES, st.data(), LINES)
def test_an_exact_unique_passage_changes_nothing_else(
    text: str, data: st.DataObject, new: str
) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    old = text[start:end]
    if not old or old == new or text.count(old) != 1 or "\r\n" in text:
        return
    overlapping = sum(text.startswith(old, at) for at in range(len(text)))
    if overlapping == 1:
        assert replace(text, old, new).text == text[:start] + new + text[end:]


@given(LINES, LINES, LINES, st.booleans())
def test_an_edit_is_made_or_refused_with_a_sentence(
    text: str, old: str, new: str, every: bool
) -> None:
    try:
        edited = replace(text, old, new, every=every)
    except EditRefused as refused:
        assert len(str(refused)) > 20
    else:
        assert edited.lines
