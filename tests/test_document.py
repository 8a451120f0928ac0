"""`--set a.b=c` over a document."""

from __future__ import annotations

import pytest
from told import told

from rankdistill.document import apply_overrides, read_document


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a=2", {"a": 2, "w": [{"c": "x"}], "s": None}),
        ("a=", {"a": None, "w": [{"c": "x"}], "s": None}),
        ("a=no", {"a": "no", "w": [{"c": "x"}], "s": None}),
        ("a=b=c", {"a": "b=c", "w": [{"c": "x"}], "s": None}),
        ('a="x #y"', {"a": "x #y", "w": [{"c": "x"}], "s": None}),
        ("w.0.c=007", {"a": 1, "w": [{"c": "007"}], "s": None}),
        ("w=[]", {"a": 1, "w": [], "s": None}),
        ("s.t.u={k: [1e3]}", {"a": 1, "w": [{"c": "x"}], "s": {"t": {"u": {"k": [1000.0]}}}}),
        ('s."1.5"=x', {"a": 1, "w": [{"c": "x"}], "s": {"1.5": "x"}}),
    ],
)
def test_an_override_sets_one_path(override: str, expected: dict) -> None:
    document = read_document("a: 1\nw: [{c: x}]\ns:\n", "a.yaml")
    assert apply_overrides(document, [override]).data == expected
    assert document.data == {"a": 1, "w": [{"c": "x"}], "s": None}


def test_later_overrides_win_and_places_say_which() -> None:
    document = apply_overrides(read_document("a: {b: 1}", "a.yaml"), ["a.b=2", "a.b=[3, 4]"])
    place = document.place(("a", "b", 1))
    assert document.data == {"a": {"b": [3, 4]}}
    assert (place.file, place.line, place.column, place.text) == ("--set", 2, 9, "a.b=[3, 4]")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("a", "1:1 E0108 --set a is not of the form block.key=value"),
        ("=1", "1:1 E0108 --set =1 is not of the form block.key=value"),
        ("a..b=1", "1:1 E0108 --set a..b=1 is not of the form"),
        ("a.=1", "1:1 E0108 --set a.=1 is not of the form"),
        ("a.b=1", "1:1 E0108 a is a single value and holds no b"),
        ("w.1=2", "1:1 E0108 w is a list of 1, counted from 0: no entry 1"),
        ("w.x=2", "1:1 E0108 w is a list of 1, counted from 0: no entry x"),
        ("a=b: c", "1:3 E0101 text that holds ': ' or begins with '- ' needs quotes"),
        ("a=x #y", "1:4 E0101 text that holds ' #' needs quotes"),
        ("a=#y", "1:3 E0101 text that begins with # needs quotes"),
        ("a=*.parquet", "1:4 E0101 text that begins with * or & needs quotes"),
        ("a=[1", "1:5 E0101 a bracket is not closed"),
        ("a=.inf", "1:3 E0101 .inf is not a finite number"),
        ("a=!!python/name:os.system x", "1:3 E0101 the tag !!python/name:os.system is refused"),
    ],
)
def test_an_override_that_cannot_be_applied_says_why(override: str, words: str) -> None:
    document = read_document("a: 1\nw: [{c: x}]\n", "a.yaml")
    (error,) = told(apply_overrides, document, [override])
    assert error.startswith(words)


def test_all_overrides_that_cannot_be_applied_are_told() -> None:
    errors = told(apply_overrides, read_document("a: 1", "a.yaml"), ["b", "a=2", "c.=1"])
    assert [error.split()[0] for error in errors] == ["1:1", "3:1"]
