"""The list of tasks is checked, and tasks are found by name."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibecoder import tasks
from vibecoder.tasks import InvalidTasks, UnknownTask

ENTRIES: list[dict[str, Any]] = json.loads((tasks.HERE / "real_tasks.json").read_text())


def test_the_list_of_the_project_loads() -> None:
    found = tasks.load()
    assert len(found) == len(ENTRIES) >= 6
    click = tasks.find(found, "click")
    assert click.test_command == (
        "env PYTHONPATH=src:. python -m pytest -o addopts= tests/test_options.py "
        "-k 'invalid_flag_combinations and kwargs2'"
    )
    mistune = tasks.find(found, "mistune")
    assert mistune.related_command.endswith(" tests/test_hooks.py")


@pytest.mark.parametrize("name", ["ITSDANGEROUS", "itsdangerous@2.1.1", "ItsDangerous"])
def test_found_in_any_case(name: str) -> None:
    assert tasks.find(tasks.load(), name).package == "itsdangerous"


@pytest.mark.parametrize("name", ["flask", "itsdangerous@9", ""])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownTask, match=r"PyJWT@2\.10\.1, itsdangerous@2\.1\.1"):
        tasks.find(tasks.load(), name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source_files", ["../outside"]),
        ("source_files", ["/etc/passwd"]),
        ("source_files", []),
        ("old_sha256", "abc"),
        ("old_sdist", "folder/lib.tar.gz"),
        ("old_sdist", "lib.exe"),
        ("requires", ["x @ file:///tmp/evil.tar.gz"]),
        ("requires", ["--index-url=http://evil"]),
        ("requires", ["git+https://evil/x"]),
        ("env", {"A=B": "c"}),
        ("test_args", "tests"),
        ("package", "../x"),
        ("issue_title", ""),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([ENTRIES[0], {**ENTRIES[1], field: value}]))
    with pytest.raises(InvalidTasks, match=rf"entry 1 \(.*\), {field}"):
        tasks.load(path)


@pytest.mark.parametrize("need", ["attrs", "attrs>=20,<30", "a.b-c[x,y]==1.0.*", "six ~= 1.1"])
def test_requirements_by_name_and_version_are_fine(tmp_path: Path, need: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{**ENTRIES[0], "requires": [need]}]))
    assert tasks.load(path)[0].requires == (need,)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(JSON)
def test_any_other_json_is_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(data))
    with pytest.raises(InvalidTasks):
        tasks.load(path)


def test_no_file_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(InvalidTasks, match="cannot be read"):
        tasks.load(tmp_path / "nowhere")
    (tmp_path / "bad").write_text("[")
    with pytest.raises(InvalidTasks, match="not JSON"):
        tasks.load(tmp_path / "bad")
