"""Well-formed files pass, broken ones are located, and only new problems count."""

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import syntax
from agent.syntax import SyntaxProblem, newly, problems

GOOD = {
    "a.js": "export const f = async (a) => `${await a}`;\n",
    "a.jsx": "const a = <b c={d}>e</b>;\n",
    "a.ts": "type A<T> = { [K in keyof T]?: T[K] };\n",
    "a.tsx": "const a = (b: string) => <p>{b}</p>;\n",
    "a.go": "package a\n\nfunc F[T any](x T) T { return x }\n",
    "a.rs": "fn f<'a>(x: &'a str) -> Option<&'a str> { Some(x) }\n",
    "a.java": "record A(int b) { int c() { return b; } }\n",
    "a.c": "int f(int a) { return a ? 1 : 0; }\n",
    "a.h": "#pragma once\nint f(int a);\n",
    "a.cpp": "template <class T> auto f(T t) -> T { return t; }\n",
    "a.rb": "def f(a) = a&.b\n",
    "a.php": "<?php\nfunction f(?int $a): string { return $a ?? ''; }\n",
    "a.sh": 'for a in "$@"; do echo "${a%%x}"; done\n',
    "a.json": '{"a": [1, null]}\n',
    "a.toml": '[a]\nb = "c"\n',
    "a.yml": "a: &x [1, 2]\nb: *x\nc: !tag d\n",
}
BAD = {
    "a.js": "const f = (a => {\n  return a;\n;\n",
    "a.ts": "interface A {\n  b: ;\n}\n",
    "a.tsx": "const a = <p>{b</p>;\n",
    "a.go": "package a\n\nfunc F( {\n",
    "a.rs": "fn f() -> { 1 }\n",
    "a.java": "class A { int b( { } }\n",
    "a.c": "int f( { return 1 }\n",
    "a.cpp": "int f() { return (1; }\n",
    "a.rb": "def f(\n  1 +\n",
    "a.php": "<?php\nfunction f( { }\n",
    "a.sh": "if true; then\n  echo a\n",
    "a.json": '{"a": 1,}\n',
    "a.toml": "a = = 1\n",
    "a.yaml": "a: [1, 2\nb: }\n",
}


@pytest.mark.parametrize("path", GOOD)
def test_well_formed_files_have_no_problems(path: str) -> None:
    assert problems(path, GOOD[path].encode()) == ()


@pytest.mark.parametrize("path", BAD)
def test_broken_files_have_a_located_problem(path: str) -> None:
    found = problems(path, BAD[path].encode())
    assert found
    assert all(1 <= problem.line <= 4 and problem.message for problem in found)


def test_other_files_and_very_long_ones_are_not_checked() -> None:
    assert problems("a.txt", b"((") is None
    assert problems("Makefile", b"((") is None
    assert problems("a.json", b"(" * (syntax.MAX_BYTES + 1)) is None


def test_only_new_problems_count_even_when_lines_moved() -> None:
    old = (SyntaxProblem(3, "odd"), SyntaxProblem(9, "odd"))
    new = (SyntaxProblem(4, "odd"), SyntaxProblem(10, "odd"), SyntaxProblem(12, "odd"))
    assert newly(old, new) == (SyntaxProblem(12, "odd"),)
    assert newly(new, old) == ()


@given(st.sampled_from(sorted({*GOOD, *BAD})), st.binary(max_size=200))
def test_no_bytes_make_a_check_fail(path: str, data: bytes) -> None:
    problems(path, data)


@pytest.mark.parametrize("path", ["a.ts", "a.rs", "a.json", "a.yml"])
def test_garbage_is_given_up_soon(path: str) -> None:
    chaos = random.Random(1)
    data = bytes(chaos.choice(b"(){}[]<>;=+-*/abc \n\"'#$@:,.") for _ in range(20_000))
    began = time.monotonic()
    problems(path, data)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("path", ["a.json", "a.toml", "a.yaml", "a.js"])
def test_deep_nesting_is_a_problem_or_fine_but_no_crash(path: str) -> None:
    prefix = b"a = " if path == "a.toml" else b""
    problems(path, prefix + b"[" * 100_000)
